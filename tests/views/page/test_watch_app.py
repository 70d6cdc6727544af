"""The live page, mounted in an application of somebody else."""

import asyncio
import subprocess
import sys

import httpx
import pytest
from browsers import chromium, is_ready, opened
from starlette.applications import Starlette
from starlette.routing import Mount
from watched import ENVIRONMENT, PATIENCE, fit, until

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


def test_a_host_mounts_it_under_a_path_and_lets_in_whom_it_likes(tmp_path):
    fit(tmp_path / "run.loop")
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        try:
            address = f"http://127.0.0.1:{host.stdout.readline().strip()}/training/"
            until(lambda: answers(address))
            with chromium() as browser, opened(browser, address) as page:
                until(lambda: is_ready(page))
                assert page.inner_text("#path") == "completed"
                page.keyboard.press("d")
                until(lambda: page.locator("#chart .arrow").count())
        finally:
            host.terminate()


def answers(address):
    try:
        return httpx.get(address, timeout=PATIENCE).status_code == 200
    except httpx.ConnectError:
        return False


@pytest.fixture
def mounted():
    """One who asks an application in this process."""
    app = Starlette(routes=[Mount("/training", watch_app("nowhere", hosts=["lab.example"]))])
    transport = httpx.ASGITransport(app=app)
    return lambda **options: httpx.AsyncClient(transport=transport, **options)


@pytest.mark.parametrize(
    ("method", "host", "headers", "status"),
    [
        ("GET", "lab.example", {}, 200),
        ("GET", "lab.example:8000", {}, 200),
        ("GET", "evil.example", {}, 421),
        ("POST", "lab.example", {}, 405),
        ("GET", "lab.example", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "lab.example", {"Origin": "https://evil.example"}, 403),
        ("GET", "lab.example", {"Origin": "http://lab.example"}, 200),
    ],
)
def test_it_refuses_there_too_what_its_page_never_asks(mounted, method, host, headers, status):
    async def ask():
        async with mounted(base_url=f"http://{host}") as client:
            return await client.request(method, "/training/", headers=headers)

    assert asyncio.run(ask()).status_code == status


def test_without_starlette_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "trackside.views.page.live_app", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'trackside\[watch\]'"):
        watch_app("nowhere")
