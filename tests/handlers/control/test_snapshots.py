import pytest
import torch
from helpers import batches, equal, model, trainer_of, weights

from trackside import KeyedLoader
from trackside.events import RollbackException
from trackside.handlers.control.snapshots import Snapshots


def kept_by(handler, epochs=1, **options):
    """The steps of the snapshots before each training batch."""
    found = []
    trainer = trainer_of(handler, **options)
    trainer.on("begin_batch")(
        lambda trainer, state: (
            found.append([kept.step for kept in state.snapshots]) if state.training else None
        )
    )
    trainer.fit(batches(5), batches(1), epochs=epochs)
    return found


def test_the_first_is_made_before_the_first_batch_then_one_every_so_many_steps():
    assert kept_by(Snapshots(every=2, keep=9)) == [[0], [0], [0, 2], [0, 2], [0, 2, 4]]


def test_the_oldest_are_dropped():
    assert kept_by(Snapshots(every=1, keep=2))[-1] == [3, 4]


def test_a_snapshot_names_the_last_batch_before_it():
    trainer = trainer_of(Snapshots(every=3, keep=9))
    found = []
    trainer.on("after_train")(
        lambda trainer, state: found.extend(
            (s.step, s.epoch, s.batch_index) for s in state.snapshots
        )
    )
    trainer.fit(batches(5), epochs=1)
    assert found == [(0, 0, -1), (3, 0, 2)]


def test_training_does_not_change_a_snapshot():
    trainer, before = trainer_of(Snapshots(every=100, where="device")), []
    trainer.on("begin_fit")(
        lambda trainer, state: before.extend(p.detach().clone() for p in state.model.parameters())
    )
    after = []
    trainer.on("after_train")(
        lambda trainer, state: after.append(state.snapshots[0].saved["model"])
    )
    trainer.fit(batches(5))
    assert all(map(torch.equal, before, after[0].values()))
    assert not all(map(torch.equal, before, trainer.state.model.state_dict().values()))


def test_of_two_trainers_it_copies_the_one_that_fits():
    def rolled_back(*trainers):
        trainer = trainers[0]

        @trainer.on("after_batch", when=lambda trainer, state: state.step == 3, once=True)
        def roll_back(trainer, state):
            raise RollbackException("a spike")

        trainer.fit(batches(6))
        return weights(trainer)

    alone, shared = Snapshots(every=2), Snapshots(every=2)
    expected = rolled_back(trainer_of(alone))
    assert equal(rolled_back(trainer_of(shared), trainer_of(shared, net=model(1))), expected)


def test_validation_and_prediction_make_none():
    trainer = trainer_of(Snapshots(every=1))
    trainer.validate(batches(2))
    trainer.predict(batches(2))
    assert trainer.state.snapshots == []


def test_after_the_fit_the_memory_is_free():
    trainer = trainer_of(Snapshots(every=1))
    trainer.fit(batches(3))
    assert trainer.state.snapshots == []


def test_a_resumed_fit_makes_one_where_it_resumes():
    trainer = trainer_of(Snapshots(every=3))
    run = trainer.steps(KeyedLoader(list(zip(*batches(1, size=20)[0], strict=True)), 4))
    for transition in run:
        if transition.trigger == "after_batch" and trainer.state.step == 2:
            saved = trainer.state_dict()
            break
    again, found = trainer_of(Snapshots(every=3)), []
    again.on("after_step")(
        lambda trainer, state: found.append([kept.step for kept in state.snapshots])
    )
    again.fit(KeyedLoader(list(zip(*batches(1, size=20)[0], strict=True)), 4), resume=saved)
    assert found == [[2], [2], [2]]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"every": 0}, ValueError, "Snapshots(every=0)"),
        ({"keep": 0}, ValueError, "Snapshots(keep=0)"),
        ({"keep": True}, TypeError, "Snapshots(keep=True)"),
        ({"where": "disk"}, ValueError, "allowed: 'cpu', 'pinned', 'device'"),
    ],
)
def test_a_wrong_argument_is_refused(options, error, text):
    with pytest.raises(error) as caught:
        Snapshots(**options)
    assert text in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_pinned_memory_without_a_device_is_refused():
    with pytest.raises(ValueError, match="there is no CUDA device"):
        Snapshots(where="pinned")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("where", ["cpu", "pinned", "device"])
def test_tensors_of_a_device_are_where_they_were_asked_to_be(where):
    trainer, found = trainer_of(Snapshots(where=where), device="cuda"), []
    trainer.on("after_train")(
        lambda trainer, state: found.extend(state.snapshots[0].saved["model"].values())
    )
    trainer.fit(batches(2))
    assert {tensor.is_cuda for tensor in found} == {where == "device"}
    assert {tensor.is_pinned() for tensor in found} == {where == "pinned"}
