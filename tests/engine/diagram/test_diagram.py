import pytest
from helpers import Trace, trainer_of
from pictures import Picture

from trackside.engine import EVALUATION, SUPERVISED, Diagram, Topology
from trackside.handlers import EarlyStopping, GradientClip


@pytest.mark.parametrize("chart", [SUPERVISED, EVALUATION])
def test_a_notebook_displays_a_diagram(chart):
    topology = Topology(chart)
    assert {*Picture(Diagram(topology)._repr_svg_()).boxes} == {*topology.leaves, *topology.scopes}
    assert Diagram(topology).narrow_svg in Diagram(topology)._repr_html_()


def test_a_trainer_draws_its_chart_to_a_file(tmp_path):
    trainer = trainer_of(Trace())
    trainer.draw(tmp_path / "loop.svg")
    assert (tmp_path / "loop.svg").read_text(encoding="utf-8") == trainer._repr_svg_()


def test_the_suffix_selects_the_format(tmp_path):
    trainer = trainer_of()
    for suffix, text in {
        "svg": trainer.diagram.svg,
        "mermaid": trainer.diagram.mermaid,
        "mmd": trainer.diagram.mermaid,
        "dot": trainer.diagram.dot,
    }.items():
        trainer.draw(tmp_path / f"loop.{suffix}")
        assert (tmp_path / f"loop.{suffix}").read_text(encoding="utf-8") == text


def test_a_narrow_picture_is_drawn_as_svg_only(tmp_path):
    trainer = trainer_of()
    trainer.draw(tmp_path / "loop.svg", narrow=True)
    drawn = (tmp_path / "loop.svg").read_text(encoding="utf-8")
    assert drawn == trainer.diagram.narrow_svg != trainer.diagram.svg
    with pytest.raises(ValueError, match=r"a narrow picture to .*'\.dot'; allowed: \.svg$"):
        trainer.draw(tmp_path / "loop.dot", narrow=True)


@pytest.mark.parametrize("name", ["loop.png", "loop", "svg"])
def test_an_unsupported_suffix_raises_and_lists_the_supported_ones(tmp_path, name):
    with pytest.raises(ValueError, match=r"allowed: \.svg, \.mermaid, \.mmd, \.dot"):
        trainer_of().draw(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_diagram_lists_the_subscribers_of_each_signal_in_order():
    clip, stopping, trace = GradientClip(1.0), EarlyStopping(), Trace()
    trainer = trainer_of(stopping, clip, trace)

    @trainer.on("begin_step")
    def log(trainer, state):
        pass

    subscribers = trainer.diagram.subscribers
    assert subscribers["begin_step"] == ("GradientClip.begin_step", "log")
    assert subscribers["after_epoch"] == ("EarlyStopping.after_epoch",)
    assert subscribers["any_transition"] == ("Trace.any_transition",)
    assert "after_loss" not in subscribers


def test_drawing_does_not_change_the_trainer():
    trainer = trainer_of(Trace())
    before = [trainer.explain(row[0]) for row in trainer.topology.rows]
    assert trainer._repr_svg_() == trainer._repr_svg_()
    assert [trainer.explain(row[0]) for row in trainer.topology.rows] == before


def test_a_diagram_of_a_chart_needs_no_trainer():
    topology = Topology(SUPERVISED)
    assert Diagram(topology).svg == Diagram(topology)._repr_svg_() == trainer_of().diagram.svg
