import re

from charts import topologies, work_left_from

from trackside.engine import EVALUATION, Topology
from trackside.engine.diagram.mermaid import mermaid
from trackside.engine.diagram.text_ids import phase_ids
from trackside.engine.statechart.phase_paths import inside, sources


def unescaped(text):
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), text)


def phases_in(text, phases):
    """The path of each phase, by its id, as the nesting of the text gives it."""
    parents, paths = [], {}
    for line in text.splitlines():
        if state := re.match(r' *state "([^"]*)" as (\w+)( \{)?$', line):
            if state[2] in phases:
                paths[phases[state[2]]] = ".".join([*parents, unescaped(state[1])])
            if state[3]:
                parents.append(unescaped(state[1]))
        elif line.strip() == "}":
            parents.pop()
    return paths


def test_mermaid_contains_every_phase_in_its_parent():
    for name, topology in topologies(20).items():
        phases = {phase_id: phase for phase, phase_id in phase_ids(topology).items()}
        expected = {phase: phase for phase in (*topology.leaves, *topology.scopes)}
        assert phases_in(mermaid(topology), phases) == expected, name


def test_mermaid_contains_every_row_from_each_of_its_sources():
    for name, topology in topologies(20).items():
        ids = phase_ids(topology)
        rows = [
            (unescaped(match[3]), match[1], match[2])
            for match in re.finditer(r"^ *(\w+) --> (\w+) : (.*)$", mermaid(topology), re.M)
        ]
        assert rows == [
            (
                row[0],
                ("any_" if source in topology.scopes and inside(row[2], source) else "")
                + ids[source],
                ids[row[2]],
            )
            for row in topology.rows
            for source in sources(row)
        ], name


def test_phases_that_a_cancel_or_an_error_reaches_are_marked():
    text = mermaid(Topology(EVALUATION))
    assert re.findall(r"^ *class (\w+) (\w+)$", text, re.M) == [
        ("phase_validate_batch_cancelled", "cancel"),
        ("phase_validate_batch_retry", "cancel"),
        ("phase_validate_cancelled", "cancel"),
        ("phase_validate_failing", "error"),
        ("phase_failed", "error"),
    ]


def test_a_scope_that_no_row_leaves_from_any_phase_has_no_node_for_that():
    assert "any phase of work" in mermaid(Topology(work_left_from("work")))
    phases = ("work.run", "work.cancelled", "work.failing")
    assert "any phase of work" not in mermaid(Topology(work_left_from(phases)))
