import sys

import pytest
from helpers import trainer_of
from pictures import Picture

from trackside.views.exports.chart_png import png
from trackside.views.output.usage_error import UsageError


def test_a_png_has_twice_the_size_of_the_picture_and_its_colours(tmp_path):
    image = pytest.importorskip("PIL.Image")
    svg = trainer_of().diagram.svg
    (tmp_path / "loop.png").write_bytes(png(svg))
    whole = Picture(svg).whole
    with image.open(tmp_path / "loop.png") as drawn:
        assert drawn.size == (2 * whole.right, 2 * whole.bottom)
        colours = {colour[:3] for _, colour in drawn.getcolors(2**20)}
    assert {(255, 255, 255), (180, 83, 9), (192, 35, 44), (27, 39, 51)} <= colours


def test_without_resvg_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UsageError, match=r"pip install 'trackside\[png\]'"):
        png(trainer_of().diagram.svg)


def test_the_command_draws_a_png(command, tmp_path):
    done = command("draw", "jobs:job", "-o", tmp_path / "loop.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "loop.png").read_bytes()[:4] == b"\x89PNG"
