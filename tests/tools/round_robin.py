"""Calls ValidateToken through grpcio under round_robin.

Reads a line of JSON {"target", "key"} and calls until another line comes. Then writes a line of JSON
{"calls", "failures"}.
"""

import json
import sys
import threading
import time

import grpc

PATH = "/token_authority.v1.TokenAuthorityService/ValidateToken"
# A ValidateTokenRequest with the token `x`.
REQUEST = b"\x0a\x01x"

asked = json.loads(sys.stdin.readline())
metadata = [("authorization", f"Bearer {asked['key']}")]
options = [
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # With the usual 30 s between two look-ups, the test would take as long.
    ("grpc.dns_min_time_between_resolutions_ms", 200),
]
validate = grpc.insecure_channel(asked["target"], options).unary_unary(PATH)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
calls, failures = 0, []
while not ended.is_set():
    try:
        validate(REQUEST, timeout=15, metadata=metadata)
    except grpc.RpcError as error:
        failures.append(str(error))
    calls += 1
    time.sleep(0.01)
print(json.dumps({"calls": calls, "failures": failures}), flush=True)
