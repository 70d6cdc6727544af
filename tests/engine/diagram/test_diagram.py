import pytest
from helpers import Trace, trainer_of
from pictures import Picture

from trackside.engine import EVALUATION, SUPERVISED, Diagram, Topology
from trackside.handlers import EarlyStopping, GradientClip


@pytest.mark.parametrize("chart", [SUPERVISED, EVALUATION])
def test_a_notebook_shows_a_diagram(chart):
    topology = Topology(chart)
    assert {*Picture(Diagram(topology)._repr_svg_()).boxes} == {*topology.leaves, *topology.scopes}


def test_a_trainer_draws_its_chart_to_a_file(tmp_path):
    trainer = trainer_of(Trace())
    trainer.draw(tmp_path / "loop.svg")
    assert (tmp_path / "loop.svg").read_text(encoding="utf-8") == trainer._repr_svg_()


def test_the_suffix_says_what_is_written(tmp_path):
    trainer = trainer_of()
    for suffix, text in {
        "svg": trainer.diagram.svg,
        "mermaid": trainer.diagram.mermaid,
        "mmd": trainer.diagram.mermaid,
        "dot": trainer.diagram.dot,
    }.items():
        trainer.draw(tmp_path / f"loop.{suffix}")
        assert (tmp_path / f"loop.{suffix}").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["loop.png", "loop", "svg"])
def test_another_suffix_is_refused_and_those_that_can_be_drawn_are_named(tmp_path, name):
    with pytest.raises(ValueError, match=r"allowed: \.svg, \.mermaid, \.mmd, \.dot"):
        trainer_of().draw(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_knows_who_hears_which_signal_in_the_order_in_which_they_run():
    clip, stopping, trace = GradientClip(1.0), EarlyStopping(), Trace()
    trainer = trainer_of(stopping, clip, trace)

    @trainer.on("begin_step")
    def tell(trainer, state):
        pass

    heard = trainer.diagram.subscribers
    assert heard["begin_step"] == ("GradientClip.begin_step", "tell")
    assert heard["after_epoch"] == ("EarlyStopping.after_epoch",)
    assert heard["any_transition"] == ("Trace.any_transition",)
    assert "after_loss" not in heard


def test_drawing_subscribes_nobody_and_leaves_the_trainer_as_it_was():
    trainer = trainer_of(Trace())
    before = [trainer.explain(row[0]) for row in trainer.topology.rows]
    assert trainer._repr_svg_() == trainer._repr_svg_()
    assert [trainer.explain(row[0]) for row in trainer.topology.rows] == before


def test_a_diagram_of_a_chart_needs_no_trainer():
    topology = Topology(SUPERVISED)
    assert Diagram(topology).svg == Diagram(topology)._repr_svg_() == trainer_of().diagram.svg
