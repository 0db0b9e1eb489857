"""A backend as the quickstart builds it: FastAPI, which looks sessions up or verifies JWTs with PyJWT.

Reads a line of JSON {"database", "secret"}; serves on a free loopback port, and answers with a
line of JSON {"port"}. `GET /session` and `GET /jwt` take a bearer token; `GET /figures` tells of
each way how often it was asked, its queries, and in how many seconds 95 of 100 were judged.
Ends with its standard input.
"""

import asyncio
import json
import socket
import sys
import time
from datetime import datetime, timezone

import asyncpg
import jwt
import uvicorn
from fastapi import FastAPI, Header, HTTPException

LOOK_UP = 'SELECT "userId", "expiresAt" FROM "session" WHERE token = $1'

asked = json.loads(sys.stdin.readline())
app = FastAPI()
took = {"session": [], "jwt": []}
queries = {"session": 0, "jwt": 0}


@app.get("/session")
async def by_session(authorization: str = Header()):
    began = time.perf_counter()
    queries["session"] += 1
    row = await app.state.pool.fetchrow(LOOK_UP, authorization.removeprefix("Bearer "))
    took["session"].append(time.perf_counter() - began)
    if row is None or row["expiresAt"] <= datetime.now(timezone.utc):
        raise HTTPException(401, "no such session")
    return {"user": row["userId"]}


@app.get("/jwt")
async def by_jwt(authorization: str = Header()):
    began = time.perf_counter()
    try:
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, asked["secret"], algorithms=["HS256"])
    except jwt.PyJWTError as refusal:
        raise HTTPException(401, str(refusal)) from refusal
    finally:
        took["jwt"].append(time.perf_counter() - began)
    return {"user": claims["sub"]}


@app.get("/figures")
async def figures():
    return {
        way: {
            "validations": len(times),
            "queries": queries[way],
            "p95": sorted(times)[int(len(times) * 0.95)],
        }
        for way, times in took.items()
    }


async def main():
    app.state.pool = await asyncpg.create_pool(asked["database"], min_size=8, max_size=8)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    server.should_exit = True
    await serving


asyncio.run(main())
