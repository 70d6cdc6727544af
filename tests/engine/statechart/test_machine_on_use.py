"""The machine of a chart is built when somebody asks for it, and says the same as the chart."""

import pytest
import torch
from charts import random_chart, topologies
from helpers import batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside.engine import Topology, Trainer
from trackside.engine.statechart.machine_on_use import MachineOnUse
from trackside.engine.statechart.machine_rows import _planned_rows as machine_planned_rows
from trackside.events import TrainState


def table_of(machine):
    """The rows and names of every leaf, in order."""
    table = machine.compiled(SENDER, lambda phase: lambda state: "", {"after_batch": ["after_x"]})
    return [
        (
            phase,
            [(name, tuple(row.transition)) for name, row in leaf.rows.items()],
            [*leaf.activity_rows],
            [*leaf.closing_rows],
            leaf.expected_trigger,
        )
        for phase, leaf in table.items()
    ]


SENDER = Trainer(torch.nn.Identity())


def assert_alike(topology):
    chart, built = (MachineOnUse(topology, TrainState(torch.nn.Identity())) for _ in range(2))
    assert built.library
    assert chart.initial == built.initial
    assert [*chart.phases] == [*built.phases]
    assert [*chart.triggers] == [*built.triggers]
    for phase in topology.leaves:
        for trigger in topology.triggers:
            assert chart.has_row(phase, trigger) == built.has_row(phase, trigger), (phase, trigger)
    assert table_of(chart) == table_of(built)
    assert topology.planned_rows == machine_planned_rows(built.library)


@pytest.mark.parametrize("name", ["supervised", "evaluation", "gan", "odd"])
def test_a_chart_and_its_machine_have_the_same_phases_and_rows(name):
    assert_alike(topologies(0)[name])


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_any_chart_and_its_machine_have_the_same_phases_and_rows(seed):
    assert_alike(Topology(random_chart(seed)))


def test_a_fit_and_an_evaluation_build_no_machine(monkeypatch):
    def fail(*arguments):
        raise AssertionError("a machine was built")

    monkeypatch.setattr("trackside.engine.statechart.machine.build_machine", fail)
    trainer = trainer_of()
    assert trainer.fit(batches(2), batches(1)).outcome == "completed"
    trainer.validate(batches(1))
    assert trainer.predict(batches(1)) is not None
    with pytest.raises(AssertionError, match="was built"):
        _ = trainer.machine


def test_a_trainer_has_one_machine():
    trainer = trainer_of()
    assert trainer.machine is trainer.machine


@pytest.mark.parametrize(
    ("signal", "phase", "run", "steps"),
    [
        ("after_loss", "fit.epoch.train.batch.scored", lambda t: t.fit(batches(2)), 2),
        ("after_pred", "validate.batch.loss", lambda t: t.validate(batches(2)), 0),
    ],
    ids=["fit", "validate"],
)
def test_a_machine_that_is_asked_for_in_a_run_leaves_the_live_phase(signal, phase, run, steps):
    trainer = trainer_of()
    seen = []

    @trainer.on(signal, once=True)
    def ask(trainer, state):
        seen.append((state.phase, trainer.machine.models[0].phase))

    run(trainer)
    assert seen == [(phase, phase)]
    assert trainer.state.step == steps
