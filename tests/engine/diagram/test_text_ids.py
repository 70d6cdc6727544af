from charts import ODD

from trackside.engine import SUPERVISED, Topology
from trackside.engine.diagram.text_ids import any_phase, identifiers


def test_every_phase_has_a_name_of_its_own():
    topology = Topology(ODD)
    names = identifiers(topology)
    assert {*names} == {*topology.leaves, *topology.scopes}
    assert len({*names.values()}) == len(names)
    assert all(name.isidentifier() and name.isascii() for name in names.values())


def test_composites_with_rows_into_themselves_are_found():
    topology = Topology(SUPERVISED)
    assert any_phase(topology) == {*topology.scopes}  # each can be cancelled
