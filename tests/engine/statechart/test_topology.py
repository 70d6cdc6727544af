import copy
import json
import pickle
import re
from dataclasses import FrozenInstanceError

import pytest
from charts import WORK
from helpers import trainer_of

from trackside.engine import EVALUATION, SUPERVISED, ChartError, Topology, update
from trackside.engine.statechart.topology import topology_of


def without(trigger, source):
    return tuple(row for row in WORK if row[:2] != (trigger, source))


@pytest.mark.parametrize("chart", [SUPERVISED, EVALUATION, WORK])
def test_a_sound_chart_is_accepted(chart):
    assert Topology(chart).initial == "idle"


def test_the_resting_phases_lie_in_no_scope():
    topology = Topology(SUPERVISED)
    assert {*topology.resting} == {"idle", "completed", "cancelled", "failed"}


def test_the_supervised_chart_has_seven_scopes_and_two_batches():
    names = [path.rpartition(".")[2] for path in Topology(SUPERVISED).scopes]
    assert sorted(names) == sorted(
        ["fit", "epoch", "train", "batch", "backward", "step", "validate", "batch"]
    )


def test_the_rows_of_a_saved_fit_are_those_that_do_not_only_go_back():
    rows = Topology(SUPERVISED).described_rows
    assert rows[1] == "begin_epoch: fit.ready → fit.epoch.ready"
    assert not [row for row in rows if "retry" in row or "retried" in row or "restore" in row]
    assert len(Topology(WORK).described_rows) == len(WORK)


def test_the_innermost_row_wins():
    table = Topology(SUPERVISED).table
    step = "fit.epoch.train.batch.step"
    assert table[f"{step}.run"]["after_step"] == "fit.epoch.train.batch.zero_grad"
    assert table[f"{step}.cancelled"]["after_step"] == "fit.epoch.train.batch.accumulated"


def test_a_scope_inside_one_of_its_name_is_refused():
    rows = tuple(
        tuple(part.replace("work.", "work.work.") for part in row if isinstance(part, str))
        if row[0] != "begin_work"
        else ("begin_work", row[1], "work.work.run")
        for row in WORK
    )
    with pytest.raises(ChartError, match=r"work\.work: it lies in a scope work"):
        Topology(rows)


def test_topologies_are_equal_by_their_rows_whatever_the_scopes_train():
    trained = SUPERVISED.replace("train.batch", update("one", of="a"))
    topology = Topology(trained)
    assert topology == Topology(topology.rows)
    assert topology.chart != Topology(topology.rows).chart


def test_an_empty_chart_is_refused():
    with pytest.raises(ChartError, match="needs rows"):
        Topology(())


def test_a_misspelt_source_is_refused_and_its_row_is_named():
    rows = (*without("after_work", "work.run"), ("after_work", "work.rum", "completed"))
    with pytest.raises(ChartError, match=r"work\.rum.*did you mean work\.run\?"):
        Topology(rows)


def test_a_misspelt_destination_is_refused():
    rows = (("begin_work", "idle", "work.rum"), *WORK[1:])
    with pytest.raises(ChartError, match=r"work\.run"):
        Topology(rows)


def test_a_leaf_that_cannot_be_reached_is_refused():
    rows = (*WORK, ("after_other", "lost", "lost"))
    with pytest.raises(ChartError, match="lost cannot be reached from idle"):
        Topology(rows)


def test_a_leaf_without_a_row_out_of_it_is_refused():
    with pytest.raises(ChartError, match=r"nothing leads out of aside"):
        Topology((*WORK, ("sidestep", "work.run", "aside")))


@pytest.mark.parametrize(
    ("trigger", "source", "text"),
    [
        ("after_cancel_work", "work", r"no row leads to or into 'work\.cancelled'"),
        ("after_error", "work", r"no row leads to or into 'work\.failing'"),
        ("after_work", "work.cancelled", r"begin_work.*no after_work from work\.cancelled"),
        ("after_work", "work.failing", r"begin_work.*no after_work from work\.failing"),
    ],
)
def test_a_scope_that_never_closes_is_refused(trigger, source, text):
    begin, *rows = without(trigger, source)
    ends = {"idle", *(row[2] for row in rows)}
    rows = [(begin[0], tuple(end for end in begin[1] if end in ends), begin[2]), *rows]
    with pytest.raises(ChartError, match=text):
        Topology(rows)


PART = (
    ("begin_part", "work.run", "work.part.run"),
    ("after_part", "work.part", "work.parted"),
    ("after_cancel_part", "work.part", "work.part.cancelled"),
    ("again", "work.parted", "work.run"),
)


@pytest.mark.parametrize(
    ("rows", "scope", "missing"),
    [
        ((*WORK, *PART[:2], PART[3]), "work.part", "after_cancel_part"),
        (
            (*WORK, PART[0], PART[3], ("aside", "work.part", "work.parted")),
            "work.part",
            "after_cancel_part",
        ),
        (
            (*WORK, PART[0], *PART[2:], ("aside", "work.part", "work.parted")),
            "work.part",
            "after_part",
        ),
        (
            (("begin_work", ("idle", "completed", "cancelled"), "work.run"), WORK[1], *WORK[3:5]),
            "work",
            "after_error",
        ),
    ],
)
def test_the_row_that_a_scope_needs_to_close_is_told(rows, scope, missing):
    text = f"{scope} never closes from {scope}.run: no {missing}; add a row ({missing!r}, {scope!r}"
    with pytest.raises(ChartError, match=re.escape(text)):
        Topology(rows)


def test_an_inner_scope_that_cannot_be_closed_is_refused():
    rows = (
        *WORK,
        ("begin_part", "work.run", "work.part.run"),
        ("after_part", "work.part.run", "work.run"),
        ("after_cancel_part", "work.part", "work.part.cancelled"),
    )
    with pytest.raises(ChartError, match=r"begin_part.*no after_part from work\.part\.cancelled"):
        Topology(rows)


def test_a_scope_that_does_not_end_at_its_last_signal_is_refused():
    rows = (
        *WORK,
        ("begin_part", "work.run", "work.part.run"),
        ("after_part", "work.part", "work.part.run"),
        ("after_cancel_part", "work.part", "work.part.cancelled"),
    )
    with pytest.raises(ChartError, match=r"after_part from work\.part\.run stays in work\.part"):
        Topology(rows)


def test_a_row_that_goes_back_is_there_when_the_scopes_inside_have_closed():
    rows = (
        *WORK,
        ("begin_part", "work.run", "work.part.run"),
        ("after_part", "work.part", "work.parted"),
        ("after_cancel_part", "work.part", "work.part.cancelled"),
        ("again", "work.parted", "work.run"),
    )
    with pytest.raises(ChartError, match=r"work\.part closes first, and work\.parted has no such"):
        Topology((*rows, ("begin_retry", "work.part.run", "work.run")))
    Topology((*rows, ("begin_retry", ("work.part.run", "work.parted"), "work.run")))


def test_a_scope_is_opened_only_by_its_begin_trigger():
    rows = tuple(("start", *row[1:]) if row[0] == "begin_work" else row for row in WORK)
    with pytest.raises(ChartError, match="it must be begin_work"):
        Topology(rows)


def test_a_row_into_a_composite_is_refused():
    with pytest.raises(ChartError, match="work is a composite"):
        Topology((*WORK, ("again", "work.run", "work")))


def test_the_kind_of_a_row_is_normal_cancel_or_error():
    topology = Topology(SUPERVISED)
    kinds = dict(zip([row[0] for row in topology.rows], topology.kinds, strict=True))
    assert {name for name, kind in kinds.items() if kind == "error"} == {"after_error"}
    cancels = {f"after_cancel_{path.rpartition('.')[2]}" for path in topology.scopes}
    found = {name for name, kind in kinds.items() if kind == "cancel"}
    assert found == {*cancels, "begin_retry", "begin_rollback"}
    assert set(topology.kinds) == {"normal", "cancel", "error"}


def test_a_topology_is_equal_after_a_trip_through_json():
    topology = Topology(SUPERVISED)
    again = Topology(json.loads(json.dumps(topology.rows)))
    assert (again.rows, again.table) == (topology.rows, topology.table)


def test_a_trainer_has_the_topology_of_its_chart():
    assert trainer_of().topology.rows == SUPERVISED


def test_a_topology_is_immutable():
    topology = Topology(SUPERVISED)
    with pytest.raises(FrozenInstanceError):
        topology.rows = ()
    with pytest.raises(TypeError):
        topology.table["idle"] = {}
    with pytest.raises(TypeError):
        topology.table["idle"]["begin_fit"] = "completed"


def test_topologies_of_equal_rows_are_equal_and_copies_too():
    topology = Topology(SUPERVISED)
    assert {topology, Topology(list(SUPERVISED))} == {topology}
    assert pickle.loads(pickle.dumps(topology)) == copy.deepcopy(topology) == topology
    assert topology != Topology(EVALUATION)


def test_engines_of_one_chart_share_its_topology():
    assert topology_of(SUPERVISED) is topology_of(SUPERVISED)
    assert topology_of(SUPERVISED) == Topology(SUPERVISED)
    assert topology_of(SUPERVISED.without("epoch")) is not topology_of(SUPERVISED)
