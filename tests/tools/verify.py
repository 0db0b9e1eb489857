"""Verifies access tokens with PyJWT as a backend does.

Reads lines of JSON {"secret", "tokens": {name: token}}; answers each with a line of JSON
{"PyJWT": {name: null, or why it is refused}}.
"""

import json
import sys

import jwt


def verdict(token, secret):
    try:
        jwt.decode(token, secret, algorithms=["HS256"])
    except Exception as refusal:  # whatever it raises, a backend lets nobody in
        return f"{type(refusal).__name__}: {refusal}"
    return None


for line in sys.stdin:
    asked = json.loads(line)
    verdicts = {name: verdict(token, asked["secret"]) for name, token in asked["tokens"].items()}
    print(json.dumps({"PyJWT": verdicts}), flush=True)
