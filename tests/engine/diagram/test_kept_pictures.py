"""The pictures of docs/charts, which `make readme` makes, pin where each box and arrow stands."""

from importlib import import_module
from pathlib import Path

import pytest

PICTURES = Path(__file__).parents[3] / "docs" / "charts"
EXAMPLES = sorted(file.stem for file in PICTURES.glob("*.svg") if "narrow" not in file.stem)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_picture_of_the_docs_is_what_is_drawn_now(example):
    diagram = import_module(example).job().trainer.diagram
    for name, drawn in ((example, diagram.svg), (f"{example}-narrow", diagram.narrow_svg)):
        kept = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn == kept, "run `make readme`, and look at what it has changed"
