"""The pictures of docs/how-to/charts.md are those of the examples."""

import gc
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NARROW = "-narrow"
NAMES = sorted(path.stem.removesuffix(NARROW) for path in DOCS.glob(f"charts/*{NARROW}.svg"))


@pytest.mark.parametrize("name", NAMES)
def test_the_pictures_of_an_example_are_fresh_drawings_of_its_chart(name):
    gc.collect()  # a function keeps its place while another trainer that subscribed it lives
    diagram = importlib.import_module(name).job().trainer.diagram
    for end, drawn in {"": diagram.svg, NARROW: diagram.narrow_svg}.items():
        kept = DOCS / "charts" / f"{name}{end}.svg"
        assert kept.read_text(encoding="utf-8") == drawn, "run `make readme`"


def test_each_picture_is_on_the_page_beside_its_example():
    page = (DOCS / "how-to" / "charts.md").read_text(encoding="utf-8")
    assert {path.stem.removesuffix(NARROW) for path in DOCS.glob("charts/*.svg")} == {*NAMES}
    for name in NAMES:
        assert f"](../charts/{name}.svg)" in page
        assert f"](../../examples/{name}.py)" in page
