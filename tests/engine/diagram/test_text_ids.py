from charts import ODD

from trackside.engine import SUPERVISED, Topology
from trackside.engine.diagram.text_ids import scopes_with_local_rows, phase_ids


def test_every_phase_has_a_name_of_its_own():
    topology = Topology(ODD)
    names = phase_ids(topology)
    assert {*names} == {*topology.leaves, *topology.scopes}
    assert len({*names.values()}) == len(names)
    assert all(name.isidentifier() and name.isascii() for name in names.values())


def test_composites_with_rows_into_themselves_are_found():
    topology = Topology(SUPERVISED)
    assert scopes_with_local_rows(topology) == {*topology.scopes}  # each can be cancelled
