"""The picture for narrow frames: of the supplied charts, and of 200 random ones."""

import functools
from itertools import combinations
from xml.etree import ElementTree

from charts import topologies
from pictures import SVG, Rect, box_rect, text_rect

from trackside.engine import SUPERVISED, Diagram, Topology
from trackside.engine.diagram.row_texts import relative
from trackside.engine.statechart.phase_paths import sources


class Narrow:
    """Boxes by phase, all texts, and the words of each row, with their places."""

    def __init__(self, topology):
        drawn = Diagram(topology, {"go": ("a", "b")}, votes=topology.leaves[:1]).narrow_svg
        root = ElementTree.fromstring(drawn)
        groups = list(root.iter(f"{SVG}g"))
        self.whole = Rect(*map(float, root.get("viewBox").split()))
        phases = [group for group in groups if group.get("data-phase") is not None]
        self.boxes = {g.get("data-phase"): box_rect(g.find(f"{SVG}rect")) for g in phases}
        self.texts = [(text.text, text_rect(text)) for text in root.iter(f"{SVG}text")]
        self.rows = [
            (int(group.get("data-rows")), text.text, text_rect(text))
            for group in groups
            if group.get("data-rows") is not None
            for text in group.iter(f"{SVG}text")
        ]


@functools.cache
def pictures():
    """The topology and the picture of each chart, by its name."""
    return {name: (chart, Narrow(chart)) for name, chart in topologies(200).items()}


def test_every_text_is_inside_the_picture_and_overlaps_no_other():
    for name, (_, picture) in pictures().items():
        for words, place in picture.texts:
            assert picture.whole.contains(place), (name, words)
        for (words, one), (others, two) in combinations(picture.texts, 2):
            assert not one.overlaps(two), (name, words, others)


def test_boxes_lie_inside_their_parents_and_apart_from_others():
    for name, (topology, picture) in pictures().items():
        assert {*picture.boxes} == {*topology.leaves, *topology.scopes}, name
        for outer, box in picture.boxes.items():
            for phase, other in picture.boxes.items():
                if phase.startswith(f"{outer}."):
                    assert box.contains(other), (name, outer, phase)
                elif phase != outer and not outer.startswith(f"{phase}."):
                    assert not box.overlaps(other, by=0), (name, outer, phase)


def test_every_row_is_a_line_in_each_of_its_sources_or_an_arrow_below_it():
    for name, (topology, picture) in pictures().items():
        for number, row in enumerate(topology.rows):
            said = [(words, place) for found, words, place in picture.rows if found == number]
            assert len(said) == len(sources(row)), (name, row)
            for source in sources(row):
                box = picture.boxes[source]
                line = shown(f"{row[0]} → {relative(row[2], source)}")
                assert any(
                    (box.contains(place) and words == line)
                    or (0 <= place.top - box.bottom < 20 and words in (line, shown(row[0])))
                    for words, place in said
                ), (name, row, source)


def shown(text):
    """Characters that XML forbids are replaced."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def test_the_chart_of_a_fit_is_narrower_than_a_phone():
    assert Narrow(Topology(SUPERVISED)).whole.right < 360


def test_a_destination_is_named_from_the_phase_that_holds_both():
    assert relative("fit.epoch.train.fetch", "fit.epoch.validated") == "train.fetch"
    assert relative("fit.epoch.cancelled", "fit.epoch") == "cancelled"
    assert relative("fit.ready", "idle") == "fit.ready"
