"""Requests that the page of `trackside watch` never makes, without a server."""

import asyncio

import httpx
from recordings import recorded

from trackside.handlers import Metrics
from trackside.views.page.asgi_app import asgi_app
from trackside.views.recordings.recording_index import RecordingIndex


def app_of(folder):
    return asgi_app(RecordingIndex([folder]), hosts=["127.0.0.1"])


def answer(folder, path, **headers):
    async def get():
        transport = httpx.ASGITransport(app=app_of(folder))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(get())


def test_a_host_that_is_no_name_is_refused(tmp_path):
    assert answer(tmp_path, "/").status_code == 200
    for host in ("[::1", "127.0.0.1]", ""):
        assert answer(tmp_path, "/", Host=host).status_code == 421, host


def test_a_websocket_is_closed_at_once(tmp_path):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": []}
    asyncio.run(app_of(tmp_path)(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_details_of_a_recording_that_is_not_listed_or_not_readable_are_not_found(tmp_path):
    recorded(tmp_path / "run.loop", Metrics()).close()
    ((name, _),) = answer(tmp_path, "/results").json().items()
    assert "train_loss" in answer(tmp_path, f"/recordings/{name}/details").json()["curves"]
    (tmp_path / "run.loop").write_bytes(b"torn")
    for one in (name, "nothing"):
        assert answer(tmp_path, f"/recordings/{one}/details").status_code == 404
