"""The live page, mounted in another application."""

import asyncio
import subprocess
import sys

import httpx
import pytest
from audited import when_listed
from browsers import chromium, is_ready, opened
from forked import ENVIRONMENT, Forked
from starlette.applications import Starlette
from starlette.routing import Mount
from watched import PATIENCE, fit, wait_until

from trackside.views import watch_app

HOST = """
import socket, sys
import uvicorn
from starlette.applications import Starlette
from trackside.views import watch_app

app = Starlette()
app.mount("/training", watch_app(sys.argv[1]))
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
uvicorn.Server(config).run(sockets=[listening])
"""


def test_app_works_mounted_under_a_path_of_a_host_without_login(tmp_path):
    fit(tmp_path / "run.loop")
    with Forked(
        [sys.executable, "-c", HOST, str(tmp_path)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        try:
            address = f"http://127.0.0.1:{host.stdout.readline().strip()}/training/"
            wait_until(lambda: responds(address))
            with chromium() as browser, opened(browser, address) as page:
                wait_until(lambda: is_ready(page))
                assert page.inner_text("#path") == "completed"
        finally:
            host.terminate()


def responds(address):
    try:
        return httpx.get(address, timeout=PATIENCE).status_code == 200
    except httpx.ConnectError:
        return False


REQUESTS = [
    ("GET", "lab.example", {}, 200),
    ("GET", "lab.example:8000", {}, 200),
    ("GET", "evil.example", {}, 421),
    ("POST", "lab.example", {}, 405),
    ("GET", "lab.example", {"Sec-Fetch-Site": "cross-site"}, 403),
    ("GET", "lab.example", {"Origin": "https://evil.example"}, 403),
    ("GET", "lab.example", {"Origin": "http://lab.example"}, 200),
]


def test_mounted_app_refuses_requests_that_its_page_never_makes():
    app = Starlette(routes=[Mount("/training", watch_app("nowhere", hosts=["lab.example"]))])

    async def status(method, host, headers):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return (await client.request(method, "/training/", headers=headers)).status_code

    for method, host, headers, expected in REQUESTS:
        assert asyncio.run(status(method, host, headers)) == expected, (method, host, headers)


def test_without_starlette_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "trackside.views.page.asgi_app", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'trackside\[watch\]'"):
        watch_app("nowhere")


def test_importing_views_does_not_import_starlette():
    code = "import sys, trackside.views; sys.exit('starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_request_that_fails_does_not_keep_its_place(tmp_path):
    (tmp_path / "runs").mkdir()
    app = watch_app(tmp_path / "runs")

    def fail(path):
        raise RuntimeError("as a disk that breaks")

    async def statuses():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://lab.example") as client:
            with when_listed(fail):
                broken = [await client.get("/recordings/x/events") for _ in range(20)]
            return {one.status_code for one in broken}, (
                await client.get("/recordings/x/events")
            ).status_code

    assert asyncio.run(statuses()) == ({500}, 404)
