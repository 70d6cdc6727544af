import re

from charts import topologies, work_left_from

from trackside.engine import EVALUATION, Topology
from trackside.engine.diagram.dot import dot
from trackside.engine.diagram.text_ids import phase_ids
from trackside.engine.statechart.phase_paths import inside, sources

QUOTED = r'"((?:[^"\\]|\\.)*)"'


def test_dot_contains_every_phase():
    for name, topology in topologies(20).items():
        text = dot(topology)
        ids = phase_ids(topology)
        leaves = {*re.findall(r"^ *(phase_\w+) \[label=", text, re.M)}
        assert leaves == {ids[leaf] for leaf in topology.leaves}, name
        scopes = {*re.findall(r"subgraph cluster_(\w+) \{", text)}
        assert scopes == {ids[scope] for scope in topology.scopes}, name
        assert text.count("{") == text.count("}"), name


def test_dot_contains_every_row_from_each_of_its_sources():
    for name, topology in topologies(20).items():
        ids = phase_ids(topology)
        edges = re.findall(rf"^ *(\w+) -> (\w+) \[label={QUOTED}(.*)\]$", dot(topology), re.M)
        expected = [(row, source) for row in topology.rows for source in sources(row)]
        assert len(edges) == len(expected), name
        for edge, (row, source) in zip(edges, expected, strict=True):
            assert is_edge_of(edge, row, source, topology, ids), (name, edge, row, source)


def is_edge_of(edge, row, source, topology, ids):
    start, end, label, rest = edge
    if end != ids[row[2]] or unquoted(label) != shown(row[0]):
        return False
    if source not in topology.scopes:
        return (start, "ltail" in rest) == (ids[source], False)
    if inside(row[2], source):
        return start == f"any_{ids[source]}"
    return f"ltail=cluster_{ids[source]}" in rest


def unquoted(text):
    return text.replace('\\"', '"').replace("\\\\", "\\")


def shown(text):
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def test_cancels_are_dashed_and_errors_are_red():
    lines = dot(Topology(EVALUATION)).splitlines()
    assert {"style=dashed" in line for line in lines if '"after_cancel_batch"' in line} == {True}
    assert {'color="#c0232c"' in line for line in lines if '"after_error"' in line} == {True}
    assert not any("dashed" in line for line in lines if '"after_pred"' in line)


def test_a_scope_that_no_row_leaves_from_any_phase_has_no_node_for_that():
    assert "any phase of work" in dot(Topology(work_left_from("work")))
    phases = ("work.run", "work.cancelled", "work.failing")
    assert "any phase of work" not in dot(Topology(work_left_from(phases)))
