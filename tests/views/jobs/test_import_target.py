import pytest


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("jobs", "expected module:factory"),
        (":job", "expected module:factory"),
        ("jobs:", "expected module:factory"),
        ("jabs:job", "there is no module 'jabs'"),
        ("sys.sub:job", "there is no module 'sys.sub'"),
        ("jabs.py:job", "there is no file jabs.py"),
        ("jobs:jobb", "there is no 'jobb' in jobs; did you mean job?"),
        ("jobs.py:NUMBER", "jobs.py:NUMBER is a int; expected a function"),
    ],
)
def test_what_names_no_factory_is_refused_in_one_line(refused, target, said):
    assert said in refused("fit", target)


@pytest.mark.parametrize("name", ["argparse", "torch", "this"])
def test_a_file_that_would_hide_another_module_is_refused(refused, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("def job(): ...")
    assert f"it would hide the module '{name}'" in refused("fit", f"{name}.py:job")


def test_a_module_that_cannot_import_another_keeps_its_traceback(command, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_thing")
    done = command("fit", "broken:job")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in done.stderr


def test_a_file_is_loaded_from_any_directory_with_its_neighbours(command, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "neighbour.py").write_text("def job(): return 'neither a job'")
    (tmp_path / "deep" / "mine.py").write_text("from neighbour import job")
    done = command("fit", "deep/mine.py:job")
    assert "deep/mine.py:job returned a str" in done.stderr
