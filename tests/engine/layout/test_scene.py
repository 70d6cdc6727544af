"""Geometry of the drawn charts: the supplied ones, four written by hand, and 200 random ones."""

import functools
from itertools import combinations

import pytest
from charts import topologies
from pictures import Picture

from trackside.engine import Diagram
from trackside.engine.layout.scene import Arrow, Text


@functools.cache
def pictures():
    """The topology and the picture of each chart, by its name."""
    return {
        name: (topology, Picture(Diagram(topology).svg))
        for name, topology in topologies(200).items()
    }


def check_every_chart(violations):
    """Fail with the name of each chart for which `violations` yields anything."""
    failed = {
        name: problems
        for name, drawn in pictures().items()
        if (problems := list(violations(*drawn)))
    }
    assert not failed, failed


def sources(row):
    return (row[1],) if isinstance(row[1], str) else row[1]


def is_within(phase, box):
    return phase == box or phase.startswith(f"{box}.")


def ends(topology, arrow):
    return {
        end
        for number in arrow.rows
        for end in (*sources(topology.rows[number]), topology.rows[number][2])
    }


def crosses(segment, box):
    """Whether a segment runs inside a box, by more than a rounding error."""
    return (
        segment.left < box.right - 0.3
        and segment.right > box.left + 0.3
        and segment.top < box.bottom - 0.3
        and segment.bottom > box.top + 0.3
    )


def test_no_arrow_crosses_a_foreign_box():
    def violations(topology, picture):
        for arrow in picture.arrows:
            own_ends = ends(topology, arrow)
            foreign = {
                phase: box
                for phase, box in picture.boxes.items()
                if phase in picture.leaves or not any(is_within(end, phase) for end in own_ends)
            }
            for segment in arrow.segments:
                crossed = [phase for phase, box in foreign.items() if crosses(segment, box)]
                if crossed:
                    yield f"{arrow.words} crosses {crossed}"

    check_every_chart(violations)


def test_an_arrow_stays_inside_the_scope_of_all_its_ends():
    def violations(topology, picture):
        for arrow in picture.arrows:
            frame = scope_around(ends(topology, arrow), picture)
            if not all(frame.contains(segment, within=0.3) for segment in arrow.segments):
                yield f"{arrow.words} leaves its scope"

    check_every_chart(violations)


def scope_around(phases, picture):
    """The box of the innermost scope that has them all, or the picture."""
    shared = [
        path
        for path in picture.boxes
        if all(is_within(phase, path) and phase != path for phase in phases)
    ]
    return picture.boxes[max(shared, key=len)] if shared else picture.whole


def test_no_two_texts_overlap():
    def violations(_, picture):
        texts = [text for (_, role), text in picture.texts.items() if role == "name"]
        texts += [arrow.label for arrow in picture.arrows]
        return [(a, b) for a, b in combinations(texts, 2) if a.overlaps(b)]

    check_every_chart(violations)


def test_labels_lie_inside_the_picture_and_on_no_leaf():
    def violations(_, picture):
        for arrow in picture.arrows:
            if not picture.whole.contains(arrow.label):
                yield f"{arrow.words} leaves the picture"
            for leaf in picture.leaves:
                if picture.boxes[leaf].overlaps(arrow.label):
                    yield f"{arrow.words} overlaps {leaf}"

    check_every_chart(violations)


def test_every_text_fits_into_its_box():
    def violations(_, picture):
        for (phase, role), text in picture.texts.items():
            if not picture.boxes[phase].contains(text):
                yield phase, role

    check_every_chart(violations)


def test_no_arrow_crosses_a_text():
    def violations(_, picture):
        segments = [segment for arrow in picture.arrows for segment in arrow.segments]
        texts = [arrow.label for arrow in picture.arrows]
        return [text for text in texts for segment in segments if crosses(segment, text)]

    check_every_chart(violations)


def test_boxes_lie_inside_their_parents_and_apart_from_others():
    def violations(_, picture):
        for (one, box), (two, other) in combinations(picture.boxes.items(), 2):
            if is_within(two, one):
                if not box.contains(other):
                    yield f"{two} leaves {one}"
            elif box.overlaps(other, by=0):
                yield f"{two} overlaps {one}"

    check_every_chart(violations)


def test_every_row_is_drawn_from_each_source_to_its_destination():
    def violations(topology, picture):
        for number, row in enumerate(topology.rows):
            arrows = [arrow for arrow in picture.arrows if number in arrow.rows]
            if not all(shown(row[0]) in shown(arrow.words) for arrow in arrows):
                yield f"{row} without its trigger"
            if {arrow.kind for arrow in arrows} != {topology.kinds[number]}:
                yield f"{row} of another kind"
            for source in sources(row):
                if not any(connects(picture, arrow, source, row[2]) for arrow in arrows):
                    yield f"{row} not from {source}"

    check_every_chart(violations)


def shown(text):
    """Without spaces, where a line may be wrapped; characters that XML forbids are replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace(" ", "")


def connects(picture, arrow, source, destination):
    """Whether lines start at the source and end at the destination, or at boxes around them."""
    starts = [
        box
        for phase, box in picture.boxes.items()
        if is_within(source, phase) and (phase == source or not is_within(destination, phase))
    ]
    stops = [
        box
        for phase, box in picture.boxes.items()
        if is_within(destination, phase) and (phase == destination or not is_within(source, phase))
    ]
    return any(box.has_on_border(line[0]) for box in starts for line in arrow.lines) and any(
        box.has_on_border(line[-1]) for box in stops for line in arrow.lines
    )


def test_a_box_beside_an_inner_scope_stands_where_the_arrow_from_inside_comes_out():
    topology, picture = pictures()["held inside"]
    row = topology.rows.index(("after_error", "work.inner.end", "work.failing"))
    [arrow] = [arrow for arrow in picture.arrows if row in arrow.rows]
    assert len({y for line in arrow.lines for _, y in line}) == 1


def test_every_phase_is_drawn_as_a_box():
    def violations(topology, picture):
        if {*picture.boxes} != {*topology.leaves, *topology.scopes}:
            yield sorted(picture.boxes)
        if {*picture.leaves} != {*topology.leaves}:
            yield sorted(picture.leaves)

    check_every_chart(violations)


def test_a_check_names_the_charts_that_fail_it():
    with pytest.raises(AssertionError, match=r"'gan': \['fit\.epoch\.batch\.sample'\]"):
        check_every_chart(lambda topology, _: [p for p in topology.leaves if p.endswith(".sample")])


def test_the_head_of_an_arrow_is_where_none_of_its_lines_goes_on():
    up_and_right = (0.0, 9.0), (0.0, 0.0), (5.0, 0.0)
    onwards = (5.0, 0.0), (9.0, 0.0)
    label = Text(0, 0, "start", ("go",))
    arrow = Arrow("normal", (0,), ("go",), (up_and_right, onwards), label)
    assert list(arrow.tips) == [onwards]
