from xml.etree import ElementTree

import pytest
from helpers import Trace, trainer_of
from trackside.engine import EVALUATION, SUPERVISED, Topology

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("chart", [SUPERVISED, EVALUATION])
def test_a_notebook_shows_a_chart(chart):
    topology = Topology(chart)
    groups = ElementTree.fromstring(topology._repr_svg_()).iter(f"{SVG}g")
    drawn = {group.get("data-phase") for group in groups} - {None}
    assert drawn == {*topology.leaves, *topology.scopes}


def test_a_trainer_draws_its_chart_to_a_file(tmp_path):
    trainer = trainer_of(Trace())
    trainer.draw(tmp_path / "loop.svg")
    assert (tmp_path / "loop.svg").read_text(encoding="utf-8") == trainer._repr_svg_()


def test_a_suffix_that_cannot_be_drawn_is_refused_and_the_others_named(tmp_path):
    with pytest.raises(ValueError, match=r"loop\.png; a picture is a file \.svg"):
        trainer_of().draw(tmp_path / "loop.png")
    assert not (tmp_path / "loop.png").exists()
