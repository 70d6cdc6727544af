"""Tests that are collected once: those of each mutant run in a fork, with its functions replaced.

Importing trackside and the tests takes seconds, most tests take milliseconds. What is done when a
module is imported is as before: a mutant that no test fails for here is asked about again by
`mutant_tests`, in a process that imports it.
"""

from __future__ import annotations

import gc
import inspect
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from mutant_tests import mutated
from mutants import Mutant

Key = tuple[str, int]  # the qualified name of a function and its first line, from 1


class CollectedTests:
    """A pytest plugin: does `work` in place of running the tests that pytest has collected."""

    def __init__(self, root: Path, work: Callable[[CollectedTests], None]) -> None:
        self.root, self.work = root, work

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.session = session
        self.items = {item.nodeid: item for item in session.items}
        self.functions = _functions_by_file()
        self.work(self)
        return True

    def run_with(self, mutant: Mutant, tests: list[str]) -> int:
        """Run the tests up to the first failure: its process has to be a fork, and ends then."""
        _separate_output(self.session.config)
        items = [self.items[test] for test in tests if test in self.items]
        with mutated(self.root, mutant):
            if not self._replace(mutant):
                return 0
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.session.testsfailed:
                    return 1
        return 0

    def _replace(self, mutant: Mutant) -> bool:
        """Whether the module is the mutant now, or will be when it is imported."""
        path = self.root / mutant.path
        codes = [
            compile(source, path, "exec", dont_inherit=True)
            for source in (path.read_text(), mutant.source)
        ]
        new = replaced_code(*codes)
        live = self.functions.get(path, [])
        if new is None and live:
            return False
        for function in live:
            code = function.__code__
            key = code.co_qualname, code.co_firstlineno
            if new and key in new:
                if len(new[key].co_freevars) != len(code.co_freevars):
                    return False
                function.__code__ = new[key]
        return True


def replaced_code(before: CodeType, after: CodeType) -> dict[Key, CodeType] | None:
    """The new code of each function that differs; None if a module or a class itself differs."""
    inner = [[each for each in code.co_consts if _is_code(each)] for code in (before, after)]
    found: dict[Key, CodeType] = {}
    if before.co_flags & inspect.CO_OPTIMIZED:  # of a function
        if before != after:
            found[before.co_qualname, before.co_firstlineno] = after
    elif _own(before) != _own(after):
        return None
    for one, other in zip(*inner, strict=False):
        more = replaced_code(one, other)
        if more is None:
            return None
        found |= more
    return found


def _own(code: CodeType) -> tuple[object, ...]:
    """What a module or class does by itself; its functions and classes by name only."""
    constants = [each.co_qualname if _is_code(each) else repr(each) for each in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_freevars, code.co_exceptiontable


def _is_code(constant: object) -> bool:
    return isinstance(constant, CodeType)


def _functions_by_file() -> dict[Path, list[FunctionType]]:
    """Every function that is there; conftest.py has kept them from garbage collection."""
    gc.unfreeze()
    of_name: dict[str, list[FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is FunctionType:
            of_name[each.__code__.co_filename].append(each)
    gc.freeze()
    found: dict[Path, list[FunctionType]] = defaultdict(list)
    for name, functions in of_name.items():
        found[Path(name).resolve()] += functions
    return found


def _separate_output(config: pytest.Config) -> None:
    """Let a fork capture into files of its own, and report nothing."""
    config.pluginmanager.unregister(name="terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
