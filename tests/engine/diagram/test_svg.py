from charts import ODD
from helpers import trainer_of
from pictures import SVG, Picture

from trackside.engine import SUPERVISED, Diagram, Topology
from trackside.handlers import GradientClip


def drawn(subscribers=None):
    topology = Topology(SUPERVISED)
    return topology, Picture(Diagram(topology, subscribers or {}).svg)


def tooltip(picture, number):
    return [
        group.find(f"{SVG}title").text
        for group in picture.root.iter(f"{SVG}g")
        if str(number) in (group.get("data-rows") or "").split()
    ]


def test_the_tooltip_of_an_arrow_lists_its_rows_and_subscribers():
    topology, picture = drawn({"after_loss": ("EMA.after_loss", "log")})
    number = topology.rows.index(
        ("after_loss", "fit.epoch.train.batch.loss", "fit.epoch.train.batch.scored")
    )
    assert tooltip(picture, number) == [
        "after_loss: fit.epoch.train.batch.loss → fit.epoch.train.batch.scored\n"
        "subscribers of after_loss: EMA.after_loss, log"
    ]


def test_arrows_with_subscribers_are_marked():
    topology, picture = drawn({"after_loss": ("log",)})
    marked = {
        topology.rows[int(number)][0]
        for group in picture.root.iter(f"{SVG}g")
        if "subscribed" in group.get("class").split()
        for number in group.get("data-rows").split()
    }
    assert marked == {"after_loss"}


def test_subscribers_are_listed_below_the_picture():
    _, bare = drawn()
    _, listed = drawn({"begin_fit": ("A.begin_fit", "b"), "any_transition": ("Trace",)})
    texts = [
        t for t in listed.root.iter(f"{SVG}text") if t.get("class") in ("signal", "subscribers")
    ]
    assert [t.text for t in texts] == ["begin_fit", "A.begin_fit, b", "any_transition", "Trace"]
    assert all(bare.whole.bottom < float(t.get("y")) < listed.whole.bottom for t in texts)


def test_a_trainer_lists_the_methods_of_its_handlers():
    texts = Picture(trainer_of(GradientClip(1.0))._repr_svg_()).root.iter(f"{SVG}text")
    assert "GradientClip.begin_step" in [text.text for text in texts]


def test_sources_of_one_row_share_an_arrow_where_possible():
    _, picture = drawn()
    restarts = [arrow for arrow in picture.arrows if 0 in arrow.rows]
    assert sorted(len(arrow.lines) for arrow in restarts) == [
        2,
        3,
    ]  # from idle; from the phases where a fit ends


def test_names_of_phases_and_triggers_are_escaped():
    topology = Topology(ODD)
    picture = Picture(Diagram(topology).svg)
    assert {*picture.boxes} == {*topology.leaves, *topology.scopes}
    assert list(picture.root.iter(f"{SVG}script")) == []
    assert any("<script>alert(1)</script>" in arrow.words for arrow in picture.arrows)


def test_characters_that_xml_forbids_are_replaced():
    assert "\ufffd" in Diagram(Topology(ODD)).svg


def test_the_svg_has_light_and_dark_colours_and_loads_no_resource():
    svg = Diagram(Topology(SUPERVISED)).svg
    assert "prefers-color-scheme:dark" in svg
    assert svg.count("http") == 1  # the name of the SVG namespace
    assert "url(" not in svg
    assert "@import" not in svg
