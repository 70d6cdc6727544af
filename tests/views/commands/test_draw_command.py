from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "options"), [("loop.svg", ()), ("loop-narrow.svg", ("--narrow",))]
)
def test_the_pictures_in_the_readme_are_up_to_date(run_in, tmp_path, name, options):
    example = f"{ROOT / 'examples' / 'digits.py'}:digits"
    done = run_in(tmp_path, "draw", example, *options, "-o", name)
    assert (done.returncode, done.stdout) == (0, f"wrote {name}\n"), done.stderr
    drawn = (tmp_path / name).read_text(encoding="utf-8")
    assert drawn == (ROOT / "docs" / name).read_text(encoding="utf-8"), "run `make readme`"
    assert f'="docs/{name}"' in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_suffix_sets_the_format(command, tmp_path):
    assert command("draw", "jobs:job", "--out", "loop.mmd").returncode == 0
    assert (tmp_path / "loop.mmd").read_text(encoding="utf-8").startswith("stateDiagram-v2")


def test_an_unknown_suffix_is_a_usage_error(refused, tmp_path):
    message = refused("draw", "jobs:job", "-o", "loop.gif")
    assert message.endswith(
        "loop.gif: its suffix is '.gif'; allowed: .svg, .mermaid, .mmd, .dot, .png"
    )


def test_an_unwritable_path_is_a_usage_error(refused):
    assert "cannot write to --out nowhere/loop.svg" in refused(
        "draw", "jobs:job", "-o", "nowhere/loop.svg"
    )


def test_a_factory_that_does_not_return_a_job_is_a_usage_error(refused):
    assert "expected a trackside.Job" in refused("draw", "jobs:returns_a_trainer")
