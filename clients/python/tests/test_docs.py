"""Every Python snippet of the guide and the README runs, beside the real service."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import django.conf
import pytest
from django.http import HttpRequest, JsonResponse
from django.test import RequestFactory
from fastapi.testclient import TestClient

from tests.conftest import ROOT, SECRET, Service, until
from token_authority.testing import TokenFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [ROOT / "docs/guides/protect-a-backend.md", ROOT / "clients/python/README.md"]
SNIPPET = re.compile(r'^```python title="([a-z_]+)\.py"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
ANY_PYTHON = re.compile(r"^```python", re.MULTILINE)
# A new user's own lines, as the product promises them.
MOST_LINES = 8

factory = TokenFactory(SECRET)


def snippets() -> dict[str, str]:
    found = {name: code for page in PAGES for name, code in SNIPPET.findall(page.read_text())}
    written = sum(len(ANY_PYTHON.findall(page.read_text())) for page in PAGES)
    assert len(found) == written, "each snippet has a title of its own"
    return found


SNIPPETS = snippets()
RUN: set[str] = set()


@pytest.fixture
def load(tmp_path: Path, shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a snippet, with the settings of a backend in the environment."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("TOKEN_AUTHORITY_ADDRESS", shared_service.address)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded: list[Any] = []

    def load(name: str) -> Any:
        RUN.add(name)
        (tmp_path / f"{name}.py").write_text(SNIPPETS[name])
        module = importlib.import_module(name)
        loaded.append(module)
        return module

    yield load
    for module in loaded:
        verifier = getattr(module, "verifier", None)
        if verifier:
            verifier.close()
        sys.modules.pop(module.__name__)


def revoked_token(service: Service) -> str:
    with service.client() as client:
        issued = client.issue_tokens("mallory")
        client.revoke(issued.refresh_token)
    return issued.access_token


def test_fastapi_in_eight_lines(load: Any, shared_service: Service) -> None:
    lines = [line for line in SNIPPETS["fastapi_app"].splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    with TestClient(load("fastapi_app").app) as client:
        assert client.get("/me", headers=factory.headers("alice")).json() == {"user": "alice"}
        assert client.get("/me").status_code == 401
        over = {"Authorization": f"Bearer {revoked_token(shared_service)}"}
        until("it is revoked", lambda: client.get("/me", headers=over).status_code == 401)


def test_fastapi_rules(load: Any) -> None:
    with TestClient(load("fastapi_rules").app) as client:
        writer = factory.headers("alice", audience="api", scopes=["articles:write"])
        reader = factory.headers("bob", audience="api")
        assert client.get("/articles").json() == {"for": "everybody"}
        assert client.get("/articles", headers=reader).json() == {"for": "bob"}
        assert client.get("/articles", headers=factory.headers()).status_code == 401
        assert client.post("/articles", headers=writer).json() == {"by": "alice"}
        assert client.post("/articles", headers=reader).status_code == 403
        assert client.get("/healthz").json() == {"revocations_connected": True}


def test_fastapi_with_a_lifespan_of_its_own(load: Any) -> None:
    module = load("fastapi_lifespan")
    with TestClient(module.app):
        assert module.app.state.pool
        assert module.authority.state.connected
    assert not module.authority.state.connected


def test_a_products_own_tests(tmp_path: Path) -> None:
    RUN.add("test_fastapi_app")
    (tmp_path / "test_fastapi_app.py").write_text(SNIPPETS["test_fastapi_app"])
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path), "--rootdir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_django(load: Any, shared_service: Service) -> None:
    if not django.conf.settings.configured:
        django.conf.settings.configure(DEFAULT_CHARSET="utf-8")

    def view(request: Any) -> JsonResponse:
        return JsonResponse({"user": request.identity.user_id})

    middleware = load("django_middleware").token_authority(view)

    def ask(token: str | None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        request: HttpRequest = RequestFactory().get("/", headers=headers)
        return middleware(request)

    assert ask(factory.mint("alice")).content == b'{"user": "alice"}'
    assert ask(None).status_code == 401
    assert ask(None).headers["WWW-Authenticate"] == "Bearer"
    assert ask("x.y.z").headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    over = revoked_token(shared_service)
    until("it is revoked", lambda: ask(over).status_code == 401)


def test_flask(load: Any, shared_service: Service) -> None:
    client = load("flask_app").app.test_client()
    assert client.get("/me", headers=factory.headers("alice")).json == {"user": "alice"}
    refused = client.get("/me", headers=factory.headers(expires_in=-1))
    assert (refused.status_code, refused.json) == (401, {"error": "expired"})
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert client.get("/me").status_code == 401
    over = {"Authorization": f"Bearer {revoked_token(shared_service)}"}
    until("it is revoked", lambda: client.get("/me", headers=over).status_code == 401)


def test_celery(load: Any, shared_service: Service) -> None:
    export = load("celery_tasks").export
    assert export.apply(args=[factory.mint("alice")]).get() == "exported for alice"
    assert export.apply(args=[factory.mint(expires_in=-1)]).get() is None
    over = revoked_token(shared_service)
    until("it is revoked", lambda: export.apply(args=[over]).get() is None)


def test_the_readmes_client(load: Any) -> None:
    assert load("login").log_in("alice").startswith("eyJ")


def test_the_readmes_verifier(load: Any) -> None:
    module = load("verify")
    assert module.user_of(factory.mint("alice")) == "alice"
    assert module.user_of(factory.mint(expires_in=-1)) is None


def test_every_snippet_was_run() -> None:
    assert set(SNIPPETS) == RUN


def test_the_bench_s_command_works_as_it_stands() -> None:
    text = (ROOT / "clients/bench/python.py").read_text()
    command = re.search(r"^    (PYTHONPATH=.* clients/bench/python\.py)", text, re.MULTILINE)
    assert command, "the bench says how to run it"
    # `--help` ends it after its imports.
    asked = command[1].replace("target/tools/clients-python/bin/python", sys.executable) + " --help"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(asked, shell=True, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
