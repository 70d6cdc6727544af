"""The process that runs the fits of a study: `python -m trackside.views.studies.trial_worker`.

It imports the module of the factory once, and makes each fit in a fork of itself, so that no fit
sees the side effects of another. From stdin it reads the job and the command line of the study,
which the facts of the fits have, then requests; it writes answers to stdout, each a line of JSON.
What the fits print goes to stderr. It ends when stdin is closed, also in the middle of a fit: so
nothing goes on when the process of the study was killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

from ..jobs.named_job import JobSource
from ..output.usage_error import UsageError
from .trial_result import Trial

Answer = dict[str, Any]
_NEEDED_IN_FORKS = (
    f"{__package__}.factory_probe",
    f"{__package__}.trial",
    "torch._dynamo",  # optimizers import it when they are created: a second in each fork
)


def main() -> None:
    """Answer requests until stdin is closed."""
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with open(requests, "rb", buffering=0) as lines:
        if not (first := lines.readline()):
            return
        request, sys.orig_argv = json.loads(first)
        try:
            source = JobSource.of_request(request)
        except UsageError as error:
            _write_line(answers, {"refused": str(error)})
            return
        for module in _NEEDED_IN_FORKS:
            import_module(module)
        _write_line(answers, {"ready": True})
        while line := lines.readline():
            work = partial(_work, source, json.loads(line))
            _write_line(answers, _in_fork(work, requests))


def _work(source: JobSource, request: dict[str, Any]) -> Answer:
    from .factory_probe import probe
    from .trial import run_trial

    if "probe" in request:
        try:
            return probe(source, request["seed"], request["arguments"]).as_data()
        except UsageError as error:
            return {"refused": str(error)}
    without, arguments, seed = request["trial"]
    trial = Trial(tuple(without), tuple(map(tuple, arguments)), seed)
    return {**run_trial(source, trial, request["metric"], request["epochs"])}


def _in_fork(work: Callable[[], Answer], requests: int) -> Answer:
    """Call `work` in a fork; the answer says how the fork died if it did not finish."""
    reads, writes = os.pipe()
    child = os.fork() or _work_and_exit(work, writes)
    os.close(writes)
    answer = b""
    while not answer.endswith(b"\n"):
        readable, _, _ = select.select([reads, requests], [], [])
        if requests in readable:  # no request comes before the answer: the study has ended
            os.kill(child, signal.SIGKILL)
            os._exit(1)
        part = os.read(reads, 2**16)
        if not part:
            break
        answer += part
    os.close(reads)
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if answer.endswith(b"\n") else {"died": _cause(status)}


def _work_and_exit(work: Callable[[], Answer], writes: int) -> NoReturn:
    """In the fork; it never returns into the loop of the worker."""
    try:
        _write_line(writes, work())
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _cause(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _write_line(file: int, answer: Answer) -> None:
    line = json.dumps(answer).encode() + b"\n"
    while line:
        line = line[os.write(file, line) :]


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # at once: to tear torch down takes longer than some fits
