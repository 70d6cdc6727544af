import re

import pytest
from charts import GAN, ODD, random_chart

from trackside.engine import EVALUATION, SUPERVISED, Topology
from trackside.engine.diagram.mermaid import mermaid
from trackside.engine.diagram.text_ids import phase_ids
from trackside.engine.statechart.phase_paths import inside, sources

CHARTS = [SUPERVISED, EVALUATION, GAN, ODD, *map(random_chart, range(20))]
every_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: f"{len(chart)} rows")


def unsafe(text):
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


@every_chart
def test_it_holds_every_phase_where_it_belongs(chart):
    topology = Topology(chart)
    names = {name: phase for phase, name in phase_ids(topology).items()}
    around, found = [], {}
    for line in mermaid(topology).splitlines():
        if opened := re.match(r' *state "([^"]*)" as (\w+)( \{)?$', line):
            if opened[2] in names:
                found[names[opened[2]]] = ".".join([*around, unsafe(opened[1])])
            if opened[3]:
                around.append(unsafe(opened[1]))
        elif line.strip() == "}":
            around.pop()
    assert found == {phase: phase for phase in (*topology.leaves, *topology.scopes)}


@every_chart
def test_it_holds_every_row_from_each_of_its_sources(chart):
    topology = Topology(chart)
    names = phase_ids(topology)
    rows = [
        (unsafe(found[3]), found[1], found[2])
        for found in re.finditer(r"^ *(\w+) --> (\w+) : (.*)$", mermaid(topology), re.M)
    ]
    assert rows == [
        (
            row[0],
            ("any_" if source in topology.scopes and inside(row[2], source) else "")
            + names[source],
            names[row[2]],
        )
        for row in topology.rows
        for source in sources(row)
    ]


def test_phases_that_a_cancel_or_an_error_reaches_are_marked():
    text = mermaid(Topology(EVALUATION))
    assert re.findall(r"^ *class (\w+) (\w+)$", text, re.M) == [
        ("phase_validate_batch_cancelled", "cancel"),
        ("phase_validate_cancelled", "cancel"),
        ("phase_validate_failing", "error"),
        ("phase_failed", "error"),
    ]
