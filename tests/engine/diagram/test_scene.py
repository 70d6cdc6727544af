"""Geometry of the drawn charts: the supplied ones, another one by hand, and 200 random ones."""

import functools
from itertools import combinations

import pytest
from charts import GAN, ODD, random_chart
from pictures import Picture

from trackside.engine import EVALUATION, SUPERVISED, Diagram, Topology

CHARTS = {"supervised": SUPERVISED, "evaluation": EVALUATION, "gan": GAN, "odd": ODD}
every_chart = pytest.mark.parametrize("chart", [*CHARTS, *range(200)])


@functools.cache
def drawn(chart):
    topology = Topology(CHARTS[chart] if chart in CHARTS else random_chart(chart))
    return topology, Picture(Diagram(topology).svg)


def sources(row):
    return (row[1],) if isinstance(row[1], str) else row[1]


def within(phase, box):
    return phase == box or phase.startswith(f"{box}.")


def ends(topology, arrow):
    return {
        end
        for number in arrow.rows
        for end in (*sources(topology.rows[number]), topology.rows[number][2])
    }


@every_chart
def test_no_arrow_passes_through_a_box(chart):
    topology, picture = drawn(chart)
    for arrow in picture.arrows:
        theirs = ends(topology, arrow)
        foreign = {
            phase: box
            for phase, box in picture.boxes.items()
            if phase in picture.leaves or not any(within(end, phase) for end in theirs)
        }
        for segment in arrow.segments:
            crossed = [phase for phase, box in foreign.items() if passes(segment, box)]
            assert crossed == [], f"{arrow.words} passes through {crossed}"


def passes(segment, box):
    """Whether a line runs inside of a box, by more than rounding."""
    return (
        segment.left < box.right - 0.3
        and segment.right > box.left + 0.3
        and segment.top < box.bottom - 0.3
        and segment.bottom > box.top + 0.3
    )


@every_chart
def test_no_two_texts_overlap(chart):
    _, picture = drawn(chart)
    texts = [text for (_, role), text in picture.texts.items() if role == "name"]
    texts += [text for arrow in picture.arrows for text in (arrow.label, arrow.count)]
    assert [(a, b) for a, b in combinations(texts, 2) if a.overlaps(b)] == []


@every_chart
def test_no_label_lies_on_a_leaf_or_outside_of_the_picture(chart):
    _, picture = drawn(chart)
    for arrow in picture.arrows:
        for text in (arrow.label, arrow.count):
            assert picture.whole.holds(text), arrow.words
            assert [leaf for leaf in picture.leaves if picture.boxes[leaf].overlaps(text)] == []


@every_chart
def test_every_text_fits_into_its_box(chart):
    _, picture = drawn(chart)
    for (phase, _), text in picture.texts.items():
        assert picture.boxes[phase].holds(text), phase


@every_chart
def test_no_arrow_crosses_out_a_text(chart):
    _, picture = drawn(chart)
    segments = [segment for arrow in picture.arrows for segment in arrow.segments]
    texts = [text for arrow in picture.arrows for text in (arrow.label, arrow.count)]
    assert [text for text in texts for segment in segments if passes(segment, text)] == []


@every_chart
def test_boxes_lie_in_the_boxes_around_them_and_beside_all_others(chart):
    _, picture = drawn(chart)
    for (one, box), (two, other) in combinations(picture.boxes.items(), 2):
        if within(two, one):
            assert box.holds(other)
        else:
            assert not box.overlaps(other, by=0)


@every_chart
def test_every_row_is_drawn_from_each_of_its_sources_to_its_destination(chart):
    topology, picture = drawn(chart)
    for number, row in enumerate(topology.rows):
        arrows = [arrow for arrow in picture.arrows if number in arrow.rows]
        assert all(shown(row[0]) in shown(arrow.words) for arrow in arrows)
        assert {arrow.kind for arrow in arrows} == {topology.kinds[number]}
        for source in sources(row):
            assert any(joins(picture, arrow, source, row[2]) for arrow in arrows), (row, source)


def shown(text):
    """Without the places where a line may be broken, and as letters that XML allows."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace(" ", "")


def joins(picture, arrow, source, destination):
    """Whether lines start at the source and end at the destination, or at boxes around them."""
    out = [
        box
        for phase, box in picture.boxes.items()
        if within(source, phase) and (phase == source or not within(destination, phase))
    ]
    into = [
        box
        for phase, box in picture.boxes.items()
        if within(destination, phase) and (phase == destination or not within(source, phase))
    ]
    return any(box.has_on_border(line[0]) for box in out for line in arrow.lines) and any(
        box.has_on_border(line[-1]) for box in into for line in arrow.lines
    )


@every_chart
def test_every_phase_is_a_box_with_its_name(chart):
    topology, picture = drawn(chart)
    assert {*picture.boxes} == {*topology.leaves, *topology.scopes}
    assert {*picture.leaves} == {*topology.leaves}
