import sys
import types

import pytest

from trackside.views.jobs.import_target import target_of
from trackside.views.output.usage_error import UsageError


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Run a text as `__main__` is, from a file or without one; the function that it defines."""
    monkeypatch.chdir(tmp_path)

    def run(file):
        module = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", module)
        if file is not None:
            module.__file__ = str(file)
        exec("def job(): ...", module.__dict__)
        return module.job

    return run


def test_a_function_of_a_script_is_imported_from_its_file(script, tmp_path):
    assert target_of(script("train.py")) == "train.py:job"
    assert target_of(script(tmp_path / "deep" / "train.py")) == "deep/train.py:job"
    elsewhere = tmp_path.parent / "train.py"
    assert target_of(script(elsewhere)) == f"{elsewhere}:job"


def test_a_function_of_a_prompt_has_no_file_to_be_imported_from(script):
    with pytest.raises(UsageError, match=r"cannot import job .*: it is not defined in a file"):
        target_of(script(None))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("jobs", "expected module:factory"),
        (":job", "expected module:factory"),
        ("jobs:", "expected module:factory"),
        ("jabs:job", "cannot find module 'jabs'"),
        ("sys.sub:job", "cannot find module 'sys.sub'"),
        ("jabs.py:job", "cannot find file jabs.py"),
        ("jobs:jobb", "cannot find 'jobb' in jobs; did you mean job?"),
        ("jobs.py:NUMBER", "jobs.py:NUMBER is a int; expected a function"),
    ],
)
def test_an_invalid_target_is_refused_in_one_line(refused, target, message):
    assert message in refused("fit", target)


@pytest.mark.parametrize("name", ["argparse", "torch", "this"])
def test_a_file_that_would_hide_another_module_is_refused(refused, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("def job(): ...")
    assert f"it would hide the module '{name}'" in refused("fit", f"{name}.py:job")


def test_a_failed_import_inside_the_module_keeps_its_traceback(command, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_thing")
    done = command("fit", "broken:job")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in done.stderr


def test_a_file_can_import_modules_of_its_own_folder(command, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "neighbour.py").write_text("def job(): return 'neither a job'")
    (tmp_path / "deep" / "mine.py").write_text("from neighbour import job")
    done = command("fit", "deep/mine.py:job")
    assert "deep/mine.py:job returned a str" in done.stderr
