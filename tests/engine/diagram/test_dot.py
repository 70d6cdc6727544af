import re

import pytest
from charts import GAN, ODD, random_chart

from trackside.engine import EVALUATION, SUPERVISED, Topology
from trackside.engine.diagram.dot import dot
from trackside.engine.diagram.text_ids import phase_ids
from trackside.engine.statechart.phase_paths import inside, sources

CHARTS = [SUPERVISED, EVALUATION, GAN, ODD, *map(random_chart, range(20))]
every_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: f"{len(chart)} rows")

QUOTED = r'"((?:[^"\\]|\\.)*)"'


@every_chart
def test_it_holds_every_phase(chart):
    topology = Topology(chart)
    text = dot(topology)
    names = phase_ids(topology)
    assert {*re.findall(r"^ *(phase_\w+) \[label=", text, re.M)} == {
        names[leaf] for leaf in topology.leaves
    }
    assert {*re.findall(r"subgraph cluster_(\w+) \{", text)} == {
        names[scope] for scope in topology.scopes
    }
    assert text.count("{") == text.count("}")


@every_chart
def test_it_holds_every_row_from_each_of_its_sources(chart):
    topology = Topology(chart)
    names = phase_ids(topology)
    edges = re.findall(rf"^ *(\w+) -> (\w+) \[label={QUOTED}(.*)\]$", dot(topology), re.M)
    expected = [(row, source) for row in topology.rows for source in sources(row)]
    assert len(edges) == len(expected)
    for (start, end, label, rest), (row, source) in zip(edges, expected, strict=True):
        assert end == names[row[2]]
        assert label.replace('\\"', '"').replace("\\\\", "\\") == shown(row[0])
        if source not in topology.scopes:
            assert (start, "ltail" in rest) == (names[source], False)
        elif inside(row[2], source):
            assert start == f"any_{names[source]}"
        else:
            assert f"ltail=cluster_{names[source]}" in rest


def shown(text):
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def test_cancels_are_dashed_and_errors_are_red():
    lines = dot(Topology(EVALUATION)).splitlines()
    assert {"style=dashed" in line for line in lines if '"after_cancel_batch"' in line} == {True}
    assert {'color="#c0232c"' in line for line in lines if '"after_error"' in line} == {True}
    assert not any("dashed" in line for line in lines if '"after_pred"' in line)
