"""A backend of several processes, which tells which of them answered."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Annotated

from fastapi import Depends, FastAPI

from token_authority.fastapi import Identity, TokenAuthority

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Has this process killed when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# Uvicorn's workers import this module, Gunicorn's are forked from a process that did.
_die_with_parent()
os.register_at_fork(after_in_child=_die_with_parent)

staleness = os.environ.get("MAX_STALENESS")
authority = TokenAuthority(max_staleness=float(staleness) if staleness else None)
app = FastAPI(lifespan=authority.lifespan)


@app.get("/me")
async def me(user: Annotated[Identity, Depends(authority.user)]) -> dict[str, str]:
    return {"user_id": user.user_id, "method": user.method}


@app.get("/process")
async def process() -> dict[str, object]:
    state = authority.state
    return {"pid": os.getpid(), "connected": state.connected, "revocations": state.revocations}
