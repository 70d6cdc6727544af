from trackside.engine import SUPERVISED, Diagram, Topology
from trackside.engine.layout.ways_out import ways_out

BATCH = "fit.epoch.train.batch"


def test_a_phase_without_a_row_of_its_own_is_left_by_that_of_the_scope_around_it():
    found = ways_out(Topology(SUPERVISED))
    assert found[f"{BATCH}.zero_grad"] == "after_batch"
    assert found[f"{BATCH}.backward.run"] == "after_backward"
    assert found["fit.epoch.validate.batch.scored"] == "after_batch"


def test_a_phase_that_is_a_source_needs_none():
    found = ways_out(Topology(SUPERVISED))
    assert f"{BATCH}.forward" not in found
    assert f"{BATCH}.step.cancelled" not in found


def test_the_picture_shows_the_way_out_in_the_box():
    svg = Diagram(Topology(SUPERVISED)).svg
    box = svg[svg.index(f'data-phase="{BATCH}.zero_grad"') :]
    assert "→ after_batch" in box[: box.index("</g>")]


def test_below_the_picture_a_legend_names_only_what_it_has():
    topology = Topology(SUPERVISED)
    plain = Diagram(topology).svg
    assert "a cancel or a recovery" in plain
    assert "a signal with subscribers" not in plain
    assert "the ranks vote" not in plain
    marked = Diagram(topology, {"after_loss": ("f",)}, votes=["fit.ready"]).svg
    assert "a signal with subscribers" in marked
    assert ">the ranks vote<" in marked
