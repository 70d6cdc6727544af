"""The pictures of docs/how-to/charts.md are those of the examples."""

import gc
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("picture", sorted(DOCS.glob("charts/*.svg")), ids=lambda path: path.stem)
def test_the_picture_of_an_example_is_a_fresh_drawing_of_its_chart(picture):
    gc.collect()  # a function keeps its place while another trainer that subscribed it lives
    trainer = importlib.import_module(picture.stem).job().trainer
    assert picture.read_text(encoding="utf-8") == trainer.diagram.svg, "run `make readme`"


def test_each_picture_is_on_the_page_beside_its_example():
    page = (DOCS / "how-to" / "charts.md").read_text(encoding="utf-8")
    for picture in DOCS.glob("charts/*.svg"):
        assert f"](../charts/{picture.name})" in page
        assert f"](../../examples/{picture.stem}.py)" in page
