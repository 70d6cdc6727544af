import functools
import importlib
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import collected_tests  # noqa: E402
import mutant_tests  # noqa: E402
import mutants  # noqa: E402
import mutation  # noqa: E402

sys.path.remove(str(ROOT / "tools"))

SOURCE = '''"""A module."""
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import os


def share(done, total, seen):
    """How much is done."""
    if total is None or done < 0:
        raise ValueError("negative")
    if done in seen:
        return None
    return done / total


class Sized(Protocol):
    @property
    def size(self) -> int:
        """Never run."""
        return 3


class Two:

    @property
    def size(self):
        return TWO
'''


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "shares.py").write_text(SOURCE)
    return tmp_path


def test_a_mutant_is_one_changed_line_of_a_function(tree):
    found = {(m.line, m.becomes) for m in mutants.mutants_of(tree, "shares.py")}
    assert found == {
        (10, "if total is not None or done < 0:"),
        (10, "if not total is None or done < 0:"),
        (10, "if total is None and done < 0:"),
        (10, "if total is None or done <= 0:"),
        (10, "if total is None or done >= 0:"),
        (10, "if total is None or done < 1:"),
        (10, "if total is None or done < -1:"),
        (11, "pass"),
        (12, "if done not in seen:"),
        (12, "if not done in seen:"),
        (14, "return done * total"),
        (14, "return None"),
        (26, ""),
        (28, "return None"),
    }


def test_there_are_no_mutants_of_guards_and_of_the_star_in_a_signature(tmp_path):
    (tmp_path / "pairs.py").write_text(
        "@dataclass(frozen=True, slots=True, order=True)\n"
        "class Pair:\n"
        "    def both(\n"
        "        self, one,\n"
        "        *,\n"
        "        other, another):\n"
        "        pass\n"
        "    def each(self, one, *, other):\n"
        "        return zip(one, other * 2, strict=True)\n"
    )
    assert {m.becomes for m in mutants.mutants_of(tmp_path, "pairs.py")} == {
        "",
        "@dataclass(frozen=True, slots=True, order=False)",
        "return zip(one, other / 2, strict=True)",
        "return zip(one, other * 1, strict=True)",
        "return zip(one, other * 3, strict=True)",
        "return None",
    }


def test_the_key_of_a_mutant_stays_when_lines_are_added_above(tree):
    before = mutants.mutants_of(tree, "shares.py")
    (tree / "shares.py").write_text("import math\n" + SOURCE)
    after = mutants.mutants_of(tree, "shares.py")
    assert [m.key for m in after] == [m.key for m in before]
    assert [m.line for m in after] == [m.line + 1 for m in before]


def test_an_import_compiles_the_mutant_and_the_file_stays(tree, monkeypatch):
    monkeypatch.syspath_prepend(tree)
    mutant = next(m for m in mutants.mutants_of(tree, "shares.py") if m.becomes == "return None")
    with mutant_tests.mutated(tree, mutant):
        module = importlib.import_module("shares")
    assert module.share(1, 2, ()) is None
    assert (tree / "shares.py").read_text() == SOURCE
    assert importlib.reload(module).share(1, 2, ()) == 0.5
    del sys.modules["shares"]


TESTS = """import shares
def test_a_share():
    assert shares.share(1, 2, ()) == 0.5
def test_one_that_is_seen():
    assert shares.share(1, 2, [1]) is None
"""


def test_tests_that_are_collected_once_fail_for_mutants_in_forks_of_that_process(
    tree, tmp_path, monkeypatch
):
    (tree / "test_shares.py").write_text(TESTS)
    monkeypatch.chdir(tree)
    monkeypatch.syspath_prepend(tree)
    tests = ["test_shares.py::test_a_share", "test_shares.py::test_one_that_is_seen"]
    found = {}

    def work(collected):
        for mutant in mutants.mutants_of(tree, "shares.py"):
            run = functools.partial(collected.run_with, mutant, tests)
            found[mutant.line, mutant.becomes] = mutant_tests.in_fork(run, limit=60)
        (tree / "found.json").write_text(json.dumps([*map(list, found.items())]))

    def collect():
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore"]
        return int(pytest.main([*options, "."], [collected_tests.CollectedTests(tree, work)]))

    assert mutant_tests.in_fork(collect, limit=60, log=tmp_path / "log") == 0
    found = {tuple(key): status for key, status in json.loads((tree / "found.json").read_text())}
    survived = {key for key, status in found.items() if status == 0}
    assert set(found.values()) == {0, 1}
    assert survived == {
        (10, "if total is None and done < 0:"),
        (10, "if total is None or done <= 0:"),
        (10, "if total is None or done < 1:"),
        (10, "if total is None or done < -1:"),
        (11, "pass"),
        (26, ""),  # a decorator is asked about where the module is imported
        (28, "return None"),
    }


def codes(before, after):
    return [compile(text, "a.py", "exec") for text in (before, after)]


def test_functions_that_differ_are_replaced_and_a_module_that_differs_is_imported():
    before = "class A:\n    def f(self):\n        return [lambda: 1]\n    def g(self): pass\n"
    found = collected_tests.replaced_code(*codes(before, before.replace("1", "2")))
    assert [*found] == [("A.f", 2), ("A.f.<locals>.<lambda>", 3)]
    assert collected_tests.replaced_code(*codes("def f(n=1): pass", "def f(n=2): pass")) is None
    assert collected_tests.replaced_code(*codes(before, before + "    n = 1")) is None


def test_work_in_a_fork_has_a_status_and_a_time_limit():
    assert mutant_tests.in_fork(lambda: 3, limit=60) == 3
    assert mutant_tests.in_fork(lambda: time.sleep(60) or 0, limit=0.1) is None
    assert mutant_tests.in_fork(lambda: int("no number"), limit=60) not in (0, None)


def test_the_quick_tests_that_run_the_line_are_asked_those_of_the_modules_file_first(tree):
    mutant = mutants.mutants_of(tree, "shares.py")[0]
    tests = {"tests/a/a.py::a": 0.3, "tests/b/b.py::b": 0.1, "tests/b/b.py::d": 0.2}
    tests |= {"tests/test_shares.py::c": 1.0, "tests/c.py::draws": 9.0}
    slow = {"tests/a/a.py::slow": 9.0, "tests/c.py::hour": 99.0}
    elsewhere = {"tests/a/a.py::e": 0.1, "tests/c.py::looks": 0.1}
    lines = {"shares.py": {str(mutant.line): [*slow, *tests], "99": ["tests/a/a.py::other"]}}
    baseline = mutant_tests.Baseline(tests | slow | elsewhere, lines)
    assert baseline.tests_of(mutant) == [
        "tests/test_shares.py::c",
        "tests/b/b.py::b",
        "tests/c.py::looks",  # of a file beside the module, at what another one has kept
        "tests/a/a.py::a",
        "tests/b/b.py::d",  # of a file from which one was asked already
        "tests/c.py::draws",
    ]


def test_what_was_tried_is_known_to_the_next_run(tree, tmp_path):
    first, second, *_ = mutants.mutants_of(tree, "shares.py")
    mutation.Results(tmp_path / "results").add("digest", first, "killed")
    results = mutation.Results(tmp_path / "results")
    assert results.get("digest", first) == "killed"
    assert results.get("digest", second) is None
    assert results.get("digest of a changed module", first) is None


def test_only_survivors_that_nobody_has_judged_are_reported(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(mutation, "ROOT", tree)
    killed, judged, survived, late = mutants.mutants_of(tree, "shares.py")[:4]
    results, digest = mutation.Results(tmp_path / "results"), mutation.digest_of("shares.py")
    for mutant, verdict in zip(
        (killed, judged, survived, late),
        ("killed", "survived", "survived", "time limit"),
        strict=True,
    ):
        results.add(digest, mutant, verdict)
    lines = list(
        mutation.report([killed, judged, survived, late], results, {judged.key: "equal text"})
    )
    assert lines == [
        f"shares.py:{survived.line}: survived: in share",
        f"    - {survived.was}\n    + {survived.becomes}",
        "shares.py: 66.7 % killed; 1 judged, 1 killed, 1 survived, 1 time limit",
    ]


def test_the_tests_are_measured_anew_when_a_module_or_a_test_has_changed(tree):
    before = mutant_tests.digest_of_all(tree, ["."])
    assert mutant_tests.digest_of_all(tree, ["."]) == before
    (tree / "test_shares.py").write_text("")
    assert mutant_tests.digest_of_all(tree, ["."]) != before


def test_a_drawn_share_is_the_same_for_the_same_seed(tree):
    every = mutants.mutants_of(tree, "shares.py")
    half = mutation.drawn(every, 0.5, seed=1)
    assert half == mutation.drawn(every, 0.5, seed=1) != mutation.drawn(every, 0.5, seed=2)
    assert len(half) == round(len(every) / 2)
    assert mutation.share_killed(Counter()) == 100.0


def test_a_draw_keeps_the_mutants_of_modules_that_do_not_change(tree):
    every = mutants.mutants_of(tree, "shares.py")
    half = mutation.drawn(every, 0.5, seed=1)
    without_the_others = [mutant for mutant in every if mutant in half]
    assert mutation.drawn(without_the_others, 1.0, seed=1) == half


def test_a_judged_survivor_that_is_no_mutant_any_more_is_told(tree):
    every = mutants.mutants_of(tree, "shares.py")
    gone = ("shares.py", "share", "return 1", "return None")
    elsewhere = ("other.py", "f", "return 1", "return None")
    assert mutation.stale(every, {every[0].key: "", gone: "", elsewhere: ""}) == [gone]


def test_a_survivor_is_judged_by_a_reason_in_the_list(tmp_path):
    entry = {"file": "a.py", "in": "f", "was": "x", "becomes": "pass", "why": "no one reads x"}
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in entry.items())
    (tmp_path / "survivors.toml").write_text(f"[[survivor]]\n{text}\n")
    found = mutation.judged(tmp_path / "survivors.toml")
    assert found == {("a.py", "f", "x", "pass"): "no one reads x"}
    assert os.path.exists(mutation.SURVIVORS)
