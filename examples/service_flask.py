"""Start, watch, pause and cancel training jobs over HTTP.

    python examples/service_flask.py --port 8000
    curl -H 'Content-Type: application/json' -d '{"epochs": 500}' http://127.0.0.1:8000/runs
    curl http://127.0.0.1:8000/runs/1
    curl -H 'Content-Type: application/json' -d '{"reason": "enough"}' \\
        http://127.0.0.1:8000/runs/1/cancel

Flask and trackside both use blinker signals: one log subscribes to requests and to fits.
"""

import argparse
import logging
import signal
from contextlib import closing
from threading import Thread
from types import FrameType
from typing import Any

from flask import Flask, Response, request
from flask.signals import request_finished
from training_jobs import HOSTS, LARGEST_BODY, Refused, Runs, parse
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, make_server

from trackside import TrainState
from trackside.events import after_fit, begin_fit

log = logging.getLogger("service")


def service(runs: Runs) -> Flask:
    """Create the application, without a server."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_BODY, TRUSTED_HOSTS=HOSTS)

    @app.get("/runs")
    def list_runs() -> list[dict[str, Any]]:
        return runs.overview()

    @app.post("/runs")
    def start() -> tuple[dict[str, Any], int]:
        return runs.start(_asked()), 201

    @app.get("/runs/<int:number>")
    def describe(number: int) -> dict[str, Any]:
        return runs.describe(number)

    @app.post("/runs/<int:number>/<any(pause, resume, cancel):action>")
    def act(number: int, action: str) -> dict[str, Any]:
        change = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}[action]
        return change(number, _asked())

    @app.errorhandler(Refused)
    def refuse(error: Refused) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, error.status

    @app.errorhandler(HTTPException)
    def refuse_by_flask(error: HTTPException) -> tuple[dict[str, str | None], int]:
        return {"error": error.description}, error.code or 500

    return app


def _asked() -> dict[str, Any]:
    return parse(request.content_type or "", request.get_data())


@request_finished.connect
def tell_of_request(app: Flask, response: Response, **_: Any) -> None:
    """Log a request."""
    log.info("%s %r: %s", request.method, request.path, response.status_code)


@begin_fit.connect
def tell_of_begin(trainer: Any, state: TrainState) -> None:
    """Log the start of a fit, of any trainer in this process."""
    log.info("%s begins %s epochs", trainer.name, state.n_epochs)


@after_fit.connect
def tell_of_end(trainer: Any, state: TrainState) -> None:
    """Log the end of a fit."""
    reason = f" ({state.cancel.reason!r})" if state.cancel else ""
    log.info("%s %s after %s steps%s", trainer.name, state.outcome, state.step, reason)


def main() -> None:
    """Serve until Ctrl-C or SIGTERM; then close every fit."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--port", type=int, default=8000, help="0: any that is free")
    port = arguments.parse_args().port
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # requests are logged above
    with closing(Runs()) as runs:
        server = make_server("127.0.0.1", port, service(runs), threaded=True)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        received = _serve_until_a_signal(server)
    signal.signal(received, signal.SIG_DFL)
    signal.raise_signal(received)  # the process ends by the signal, as its sender expects


def _serve_until_a_signal(server: BaseWSGIServer) -> int:
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        Thread(target=server.shutdown).start()  # it waits for serve_forever in this thread

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.1)
    return received[0]


if __name__ == "__main__":
    main()
