"""Training jobs in an async service: progress as server-sent events, the live page, monitoring.

    python examples/service_starlette.py --port 8000
    curl -H 'Content-Type: application/json' -d '{"epochs": 500}' http://127.0.0.1:8000/runs
    curl -N http://127.0.0.1:8000/runs/1/progress

The live page is at http://127.0.0.1:8000/watch/ , metrics for Prometheus at /metrics/ . With
`--traces FILE` the spans of OpenTelemetry are written there; a real service gives its tracer
provider the exporter of its collector. Fits run in their own threads: the event loop
stays responsive, and a fit never waits for a client.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from prometheus_client import make_asgi_app
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from training_jobs import HOSTS, LARGEST_BODY, Refused, Runs, described, parse

from trackside import OpenTelemetry, Prometheus, Recorder, Run
from trackside.views import watch_app

INTERVAL = 0.2  # seconds between two events of a stream
RECORDS = 2**16  # of each run, the newest: 1 MiB


class Recordings:
    """One recording for each remembered run, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def recorder(self, number: int) -> list[Recorder]:
        """The handler that records a run."""
        return [Recorder(self._path(number), records=RECORDS)]

    def remove(self, number: int) -> None:
        """Delete the recording of a run."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"run-{number}.loop"


def service(runs: Runs, recordings: Path) -> Starlette:
    """Create the application, without a server."""

    def overview(request: Request) -> Response:
        return JSONResponse(runs.overview())

    def describe(request: Request) -> Response:
        return JSONResponse(runs.describe(request.path_params["number"]))

    async def start(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(runs.start, await _asked(request)), 201)

    async def act(request: Request) -> Response:
        actions = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}
        number, action = request.path_params["number"], request.path_params["action"]
        if action not in actions:
            raise Refused(404, f"a run has no {action!r}; allowed: {', '.join(actions)}")
        return JSONResponse(actions[action](number, await _asked(request)))

    async def progress(request: Request) -> Response:
        number = request.path_params["number"]
        return StreamingResponse(_events(number, runs[number]), media_type="text/event-stream")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(runs.close)

    return Starlette(
        routes=[
            Route("/runs", overview),
            Route("/runs", start, methods=["POST"]),
            Route("/runs/{number:int}", describe),
            Route("/runs/{number:int}/progress", progress),
            Route("/runs/{number:int}/{action}", act, methods=["POST"]),
            Mount("/watch", watch_app(recordings)),
            Mount("/metrics", make_asgi_app()),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        exception_handlers={Refused: _refuse, HTTPException: _refuse_by_starlette},
        lifespan=lifespan,
    )


async def _events(number: int, run: Run) -> AsyncIterator[str]:
    done = False
    while not done:
        told = described(number, run)
        yield f"data: {json.dumps(told)}\n\n"
        done = told["done"]
        await asyncio.sleep(0 if done else INTERVAL)


async def _asked(request: Request) -> dict[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise Refused(413, f"the body is too large; allowed: {LARGEST_BODY} bytes")
    return parse(request.headers.get("content-type", ""), body)


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"error": str(error)}, error.status)


def _refuse_by_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def trace_to(path: Path) -> None:
    """Write the spans of this process to a file, an object of JSON each."""
    file = path.open("a", encoding="utf-8", buffering=1)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file)))
    trace.set_tracer_provider(provider)


class Server(uvicorn.Server):
    """A server that cancels the fits first, so that their progress streams can end."""

    def __init__(self, config: uvicorn.Config, runs: Runs) -> None:
        super().__init__(config)
        self.runs = runs

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.runs.cancel_all()
        super().handle_exit(sig, frame)


def main() -> None:
    """Serve until Ctrl-C or SIGTERM; then close every fit."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--port", type=int, default=8000, help="0: any that is free")
    options.add_argument("--recordings", type=Path, default=Path("runs/service"))
    options.add_argument("--traces", type=Path, metavar="FILE")
    chosen = options.parse_args()
    if chosen.traces:
        trace_to(chosen.traces)
    recordings = Recordings(chosen.recordings)
    runs = Runs(
        lambda number: [*recordings.recorder(number), Prometheus(), OpenTelemetry()],
        recordings.remove,
    )
    listening = socket.create_server(("127.0.0.1", chosen.port), backlog=512)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        service(runs, chosen.recordings), log_level="warning", timeout_graceful_shutdown=1
    )
    Server(config, runs).run(sockets=[listening])


if __name__ == "__main__":
    main()
