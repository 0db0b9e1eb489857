"""A backend of several processes, which tells which of them answered."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from token_authority.fastapi import Identity, TokenAuthority

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
