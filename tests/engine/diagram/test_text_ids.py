from charts import ODD

from trackside.engine import SUPERVISED, Topology
from trackside.engine.diagram.text_ids import phase_ids, scopes_with_local_rows


def test_every_phase_has_a_unique_id():
    topology = Topology(ODD)
    ids = phase_ids(topology)
    assert {*ids} == {*topology.leaves, *topology.scopes}
    assert len({*ids.values()}) == len(ids)
    assert all(phase_id.isidentifier() and phase_id.isascii() for phase_id in ids.values())


def test_scopes_with_rows_to_phases_inside_them():
    topology = Topology(SUPERVISED)
    assert scopes_with_local_rows(topology) == {*topology.scopes}  # each can be cancelled
