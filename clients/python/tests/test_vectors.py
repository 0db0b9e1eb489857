"""The verdict on each token of `clients/vectors` is the one of the service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import ROOT
from token_authority import TokenError, Verifier

VECTORS: list[dict[str, Any]] = json.loads((ROOT / "clients/vectors/verdicts.json").read_text())


def verifier(vector: dict[str, Any]) -> Verifier:
    return Verifier(**vector["key"], address="", clock=lambda: vector["now"])


def judge(verifier: Verifier, vector: dict[str, Any]) -> str:
    try:
        verifier.verify(vector["token"], audience=vector.get("audience"))
    except TokenError as error:
        return error.reason
    return "active"


def test_there_are_vectors() -> None:
    assert len(VECTORS) > 120
    assert {"active", "malformed", "bad-signature", "expired"} < {vector["verdict"] for vector in VECTORS}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_verdict_is_the_services(vector: dict[str, Any]) -> None:
    one = verifier(vector)
    # The second time it may be known from the first.
    assert [judge(one, vector), judge(one, vector)] == [vector["verdict"]] * 2


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_the_verdict_is_the_same_without_blocking(vector: dict[str, Any]) -> None:
    verdict = "active"
    try:
        await verifier(vector).averify(vector["token"], audience=vector.get("audience"))
    except TokenError as error:
        verdict = error.reason
    assert verdict == vector["verdict"]
