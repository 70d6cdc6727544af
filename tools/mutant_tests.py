"""Which tests run a line, and whether they fail for a mutant; each mutant in a forked process."""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.machinery import SourceFileLoader
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

import pytest
from mutants import Mutant

# imported once, before the fork: what the tests need but for trackside itself
PRELOADED = ("torch", "torch._dynamo", "torch.distributed", "torch.utils.data", "transitions",
             "blinker", "safetensors.torch", "hypothesis", "numpy", "tqdm", "yaml",
             "anyio.pytest_plugin", "xdist.plugin", "_hypothesis_pytestplugin")  # fmt: skip
QUICK = 2.0  # seconds of a processor; a longer test is not asked about every mutant
SLOW = 20.0  # the same for a test in the folder of the module's own tests
FIRST_TESTS, MOST_TESTS = 60, 360  # the others are asked about what the first did not find
SHORTEST_LIMIT = 120.0  # seconds, of all tests of a mutant; a busy machine is slower, not killed
LEAST_PROCESSOR = 30  # seconds of a processor, likewise: a mutant that loops is found by these
PYTEST = ["-q", "-p", "no:cacheprovider", "-m", "not long and not matrix",
          "-W", "ignore::pytest.PytestAssertRewriteWarning"]  # fmt: skip
Run = Callable[[Mutant, list[str]], int]


@dataclass
class Baseline:
    """What the tests do without a mutant: seconds of each, and the tests that run each line.

    The seconds are those of a processor: on a busy machine the others say nothing of a test.
    """

    seconds: dict[str, float]
    lines: dict[str, dict[str, list[str]]]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The quick tests that run the line, else the module; those of its own file first.

        Then the quickest of each file, as those of one file often look at the same thing. Of files
        in the module's own folder of tests all are asked: one runs the line, and the others look at
        what it has kept.
        """
        of_module = self.lines.get(mutant.path, {})
        tests = of_module.get(str(mutant.line)) or {t for each in of_module.values() for t in each}
        folder = Path("tests", mutant.path).parent
        own = str(folder / f"test_{Path(mutant.path).stem.lstrip('_')}.py")
        beside = {file for file in map(_file_of, tests) if Path(file).parent == folder}

        def is_asked(test: str) -> bool:
            longest = SLOW if _file_of(test) in beside else QUICK
            return (test in tests or _file_of(test) in beside) and self.seconds[test] < longest

        quick = sorted(filter(is_asked, self.seconds), key=self.seconds.__getitem__)
        of_file: Counter[str] = Counter()
        places = {}
        for test in quick:
            file = _file_of(test)
            places[test] = file != own, of_file[file] if file != own else 0, self.seconds[test]
            of_file[file] += 1
        return sorted(quick, key=places.__getitem__)[:MOST_TESTS]

    def limit(self, tests: list[str]) -> float:
        return SHORTEST_LIMIT + 30 * sum(self.seconds[test] for test in tests)

    def processor_limit(self, tests: list[str]) -> int:
        return LEAST_PROCESSOR + round(5 * sum(self.seconds[test] for test in tests))


def _file_of(test: str) -> str:
    return test.partition("::")[0]


class _Contexts:
    """A pytest plugin: each test is a context of coverage, and its seconds are noted.

    A test that fails has none, and is not asked: a busy machine may be too slow for it.
    """

    def __init__(self, measured: Any) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.measured.switch_context(item.nodeid)
        began = _processor_seconds()
        done = yield
        if item.nodeid not in self.failed:
            self.seconds[item.nodeid] = _processor_seconds() - began
        self.measured.switch_context("")
        return done  # type: ignore[return-value]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


def _processor_seconds() -> float:
    """Of this process, and of its children that have ended."""
    return sum(os.times()[:4])


def measure_baseline(root: Path, folder: Path, tests: list[str]) -> Baseline:
    """Run the tests without a mutant, and keep what they run, until a module or a test changes."""
    digest = digest_of_all(root, ["events", "engine", "tests", *tests])
    file = folder / f"baseline-{digest}.json"
    if not file.exists():
        log = folder / "baseline.txt"
        in_fork(lambda: _measure(root, file, tests), 3 * 3600, log)
        if not file.exists():
            raise SystemExit(f"the tests do not run without a mutant; see {log}")
    return Baseline(**json.loads(file.read_text()))


def digest_of_all(root: Path, folders: list[str]) -> str:
    """A digest of the names of the folders, and of all modules below them."""
    digest = hashlib.sha256("\0".join(folders).encode())
    for file in sorted(file for folder in folders for file in (root / folder).rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _measure(root: Path, file: Path, tests: list[str]) -> int:
    from coverage import Coverage  # noqa: PLC0415 - a mutant's process needs none

    measured = Coverage(data_file=None, source_dirs=[str(root)], config_file=False)
    contexts = _Contexts(measured)
    measured.start()
    status = pytest.main([*PYTEST, *tests], [contexts])
    measured.stop()
    data, lines = measured.get_data(), {}
    for path in data.measured_files():
        name = str(Path(path).relative_to(root))
        found = data.contexts_by_lineno(path)
        lines[name] = {
            line: [test for test in by if test in contexts.seconds] for line, by in found.items()
        }
    file.write_text(json.dumps({"seconds": contexts.seconds, "lines": lines}))
    return int(status)


def preload() -> None:
    """Import what every mutant's process needs."""
    for name in PRELOADED:
        importlib.import_module(name)


def verdict(mutant: Mutant, baseline: Baseline, run: Run) -> str:
    """`killed`, `time limit`, `survived`, or `no test`; `run` says by its status if tests fail."""
    tests = baseline.tests_of(mutant)
    if not tests:
        return "no test"
    for some in filter(None, (tests[:FIRST_TESTS], tests[FIRST_TESTS:])):
        work = partial(_limited, baseline.processor_limit(some), run, mutant, some)
        status = in_fork(work, baseline.limit(some))
        if status != 0:
            return "time limit" if status in (None, -signal.SIGXCPU) else "killed"
    return "survived"


def _limited(seconds: int, run: Run, mutant: Mutant, tests: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    return run(mutant, tests)


class Importing:
    """Asks about mutants in a process that has imported nothing of trackside: it imports them."""

    def __init__(self, root: Path, baseline: Baseline) -> None:
        self.ours, theirs = multiprocessing.Pipe()
        start(partial(self._serve, theirs, root, baseline), 10**6)
        theirs.close()

    def _serve(self, theirs: Connection, root: Path, baseline: Baseline) -> int:
        self.ours.close()
        with suppress(EOFError):
            while True:
                theirs.send(verdict(theirs.recv(), baseline, partial(_run_with, root)))
        return 0

    def verdict(self, mutant: Mutant) -> str:
        self.ours.send(mutant)
        return str(self.ours.recv())


def _run_with(root: Path, mutant: Mutant, tests: list[str]) -> int:
    with mutated(root, mutant):
        return int(pytest.main([*PYTEST, "-x", "--tb=no", *tests]))


@contextmanager
def mutated(root: Path, mutant: Mutant) -> Iterator[None]:
    """Let an import of the module compile the mutant's source, whatever lies on disk."""
    path, original = root / mutant.path, SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, name: str) -> CodeType | None:
        if Path(self.path).resolve() == path:
            return compile(mutant.source, self.path, "exec", dont_inherit=True)
        return original(self, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SourceFileLoader.get_code = original  # type: ignore[method-assign]


def in_fork(work: Callable[[], int], limit: float, log: Path | str = os.devnull) -> int | None:
    """Exit status of `work` in a process of its own; None when it took longer than `limit` seconds.

    The process leads a group, which is killed at the end: no child of a mutant outlives it.
    """
    child = start(work, limit, log)
    ends, ended, status = time.monotonic() + limit, 0, 0
    while not ended and time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


def start(work: Callable[[], int], limit: float, log: Path | str = os.devnull) -> int:
    """Fork a process that does `work`, writes to `log`, and ends after `limit` seconds at most."""
    return os.fork() or _work_and_exit(work, limit, log)


def _work_and_exit(work: Callable[[], int], limit: float, log: Path | str) -> NoReturn:
    status = 99
    try:
        os.setsid()
        signal.alarm(int(limit) + 10)  # for the case that the parent is no more
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
