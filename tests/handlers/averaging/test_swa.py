import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from nets import by_hand, normed, undisturbed, values
from reads import Reads
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader

from trackside.events import CancelEpochException, CancelFitException
from trackside.handlers import LRSchedule
from trackside.handlers.augmentation.batch_transform import BatchTransform
from trackside.handlers.averaging.swa import SWA


def averaged_by_hand(net, start, epochs, data=None):
    average = AveragedModel(net)

    def after_epoch(epoch):
        if epoch >= start:
            average.update_parameters(net)

    by_hand(net, epochs=epochs, after_epoch=after_epoch)
    update_bn(data or batches(), average)
    return average


@pytest.mark.parametrize("make", [model, normed])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_average_equals_torch_bitwise(start, make):
    swa = SWA(start)
    trainer_of(swa, net=make()).fit(batches(), epochs=4)
    theirs = averaged_by_hand(make(), start, epochs=4)
    assert equal(values(swa.averaged), values(theirs))
    assert swa.averaged.n_averaged == 4 - start


def test_a_state_from_before_the_first_fit_has_no_average_to_load():
    swa = SWA(0)
    trainer = trainer_of(swa)
    trainer.load_state_dict(trainer_of(SWA(0)).state_dict())
    assert swa.averaged is None
    trainer.fit(batches(), epochs=2)
    assert equal(values(swa.averaged), values(averaged_by_hand(model(), 0, epochs=2)))


def test_works_with_SWALR():
    swa, net, theirs = SWA(1), model(), model()
    schedule = LRSchedule(
        lambda optimizer: SWALR(optimizer, swa_lr=0.05, anneal_epochs=2), every="epoch"
    )
    trainer_of(schedule, swa, net=net).fit(batches(), epochs=3)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    scheduler, average = SWALR(optimizer, swa_lr=0.05, anneal_epochs=2), AveragedModel(theirs)
    for epoch in range(3):
        for x, y in batches():
            nn.functional.cross_entropy(theirs(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
        if epoch >= 1:
            average.update_parameters(theirs)
        scheduler.step()
    assert equal(values(swa.averaged), values(average))


@pytest.mark.parametrize(("start", "first"), [(0.75, 3), (0.5, 2), (0.0, 0), (0.9, 3)])
def test_fractional_start_selects_the_first_epoch(start, first):
    swa = SWA(start)
    trainer_of(swa).fit(batches(), epochs=4)
    assert swa.averaged.n_averaged == 4 - first


def test_model_has_the_average_after_the_fit():
    swa = SWA(1)
    trainer = trainer_of(swa, net=normed())
    trainer.fit(batches(), epochs=3)
    assert equal(values(trainer.state.model), values(swa.averaged.module))


def test_final_trained_keeps_the_trained_weights():
    swa = SWA(1, final="trained")
    trainer = trainer_of(swa, net=normed())
    trainer.fit(batches(), epochs=3)
    assert equal(values(trainer.state.model), values(by_hand(normed(), epochs=3)))


def test_training_and_validation_use_the_trained_weights():
    trainer, plain, seen = trainer_of(SWA(0)), trainer_of(), ([], [])
    for one, log in zip((trainer, plain), seen, strict=True):
        one.on("begin_validate")(lambda t, state, log=log: log.append(weights(t)))
        one.fit(batches(), batches(1), epochs=3)
    assert all(equal(ours, theirs) for ours, theirs in zip(*seen, strict=True))


def test_averaged_model_is_callable_and_in_eval_mode():
    swa = SWA(0)
    trainer_of(swa, net=normed()).fit(batches())
    assert not any(module.training for module in swa.averaged.modules())
    assert swa.averaged(torch.zeros(1, 5)).shape == (1, 3)


# the statistics of batch norm


class Named(nn.Module):
    """Takes keyword arguments, and returns its own loss."""

    def __init__(self):
        super().__init__()
        self.inner = normed()

    def forward(self, x, y):
        pred = self.inner(x)
        return {"pred": pred, "loss": nn.functional.cross_entropy(pred, y)}


def statistics(net):
    return [value for name, value in net.state_dict().items() if "running" in name]


def test_statistics_from_batches_of_any_kind():
    swa, plain = SWA(0), SWA(0)
    net = Named()
    trainer = trainer_of(swa, net=net)
    trainer.state.loss_fn = None
    trainer.fit([{"x": x, "y": y} for x, y in batches()], epochs=2)
    trainer_of(plain, net=normed()).fit(batches(), epochs=2)
    assert equal(statistics(swa.averaged), statistics(plain.averaged))


def test_statistics_from_transformed_batches():
    swa = SWA(0)
    shift = BatchTransform(lambda x, y: (x + 3, y))
    trainer_of(shift, swa, net=normed()).fit(batches(), epochs=2)
    by_torch = swa.averaged.module.train()
    ours = values(by_torch)
    update_bn([x + 3 for x, _ in batches()], by_torch)
    assert equal(values(by_torch), ours)


def test_statistics_use_at_most_the_batches_of_an_epoch():
    def endless():
        while True:
            yield from batches(2)

    swa, read = SWA(0), []
    net = normed()
    net.register_forward_hook(lambda *_: read.append(1))
    trainer_of(swa, net=net).fit(endless(), batches_per_epoch=2, epochs=2)
    assert len(read) == 6
    assert swa.averaged.module[1].num_batches_tracked == 2


def test_exhausted_loader_keeps_the_trained_statistics():
    swa = SWA(0)
    trainer = trainer_of(swa, net=normed())
    with pytest.warns(UserWarning, match="gave no batch"):
        trainer.fit(iter(batches()))
    assert equal(values(swa.averaged.module), values(by_hand(normed())))


def test_without_batch_norm_there_is_no_extra_pass():
    read = []

    class Loader:
        def __iter__(self):
            read.append(1)
            return iter(batches())

    trainer_of(SWA(0)).fit(Loader(), epochs=2)
    assert len(read) == 2


def test_extra_pass_does_not_call_handlers_of_the_trainer():
    trainer, calls = trainer_of(SWA(0), net=normed()), []
    trainer.on("begin_batch")(lambda t, state: calls.append(1))
    trainer.fit(batches(), epochs=2)
    assert len(calls) == 6
    assert trainer.state.samples == 24


def test_error_in_the_extra_pass_is_raised_and_restores_layers():
    class Loader:
        passes = 0

        def __iter__(self):
            self.passes += 1
            if self.passes == 2:
                raise ValueError("disk")
            return iter(batches())

    swa = SWA(0)
    trainer = trainer_of(swa, net=normed())
    with pytest.raises(ValueError, match="disk"):
        trainer.fit(Loader())
    assert swa.averaged.module[1].momentum == 0.1
    assert equal(values(trainer.state.model), values(by_hand(normed())))
    trainer.fit(batches())
    assert trainer.state.phase == "completed"


# how a fit ends


def test_cancelled_fit_keeps_the_average():
    swa = SWA(0)
    trainer = trainer_of(swa, net=normed())
    trainer.on("begin_batch", when=lambda t, s: s.epoch == 2)(raising(CancelFitException))
    trainer.fit(batches(), epochs=3)
    assert equal(values(swa.averaged), values(averaged_by_hand(normed(), 0, epochs=2)))
    assert equal(values(trainer.state.model), values(swa.averaged.module))


def raising(error):
    def fail(trainer, state):
        raise error

    return fail


def test_failed_fit_keeps_the_trained_weights():
    trainer = trainer_of(SWA(0))
    trainer.on("begin_batch", when=lambda t, s: s.epoch == 1)(raising(ValueError))
    with pytest.raises(ValueError):  # noqa: PT011
        trainer.fit(batches(), epochs=2)
    assert equal(weights(trainer), values(by_hand(model())))


def test_failed_epoch_is_not_averaged():
    swa = SWA(0)
    trainer = trainer_of(swa)
    trainer.on("after_step", when=lambda t, s: s.epoch == 1)(raising(ValueError))
    with pytest.raises(ValueError):  # noqa: PT011
        trainer.fit(batches(), epochs=2)
    assert swa.averaged.n_averaged == 1


def test_epoch_without_step_is_not_averaged():
    swa = SWA(0)
    trainer = trainer_of(swa)
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(raising(CancelEpochException))
    trainer.fit(batches(), epochs=3)
    assert swa.averaged.n_averaged == 2


def test_each_fit_has_its_own_average():
    swa = SWA(0)
    trainer = trainer_of(swa)
    trainer.fit(batches(), epochs=2)
    first = values(swa.averaged)
    trainer.validate(batches(1))
    assert equal(values(swa.averaged), first)
    start_model = model()
    start_model.load_state_dict(trainer.state.model.state_dict())
    trainer.fit(batches(), epochs=2)
    assert equal(values(swa.averaged), values(averaged_by_hand(start_model, 0, epochs=2)))


def test_fit_cancelled_at_its_start_does_not_change_the_model():
    trainer = trainer_of(SWA(0))
    trainer.fit(batches(), epochs=2)
    other = model(seed=1)
    trainer.state.model.load_state_dict(other.state_dict())
    raise_at(trainer, "begin_epoch", CancelFitException)
    trainer.fit(batches())
    assert equal(weights(trainer), values(other))


def test_detach_during_fit_keeps_the_trained_weights():
    swa = SWA(0)
    trainer = trainer_of(swa)
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 2)(lambda t, state: t.detach(swa))
    trainer.fit(batches(), epochs=3)
    assert equal(weights(trainer), values(by_hand(model(), epochs=3)))


def test_attach_during_fit_starts_averaging_there():
    swa = SWA(0)
    trainer = trainer_of()
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: t.attach(swa))
    trainer.fit(batches(), epochs=3)
    assert equal(values(swa.averaged), values(averaged_by_hand(model(), 1, epochs=3)))


def test_works_on_a_hand_made_state():
    swa, state = SWA(0), state_of(epoch=0, n_epochs=1)
    swa.begin_fit(None, state)
    swa.after_step(None, state)
    swa.after_epoch(None, state)
    before = values(state.model)
    with torch.no_grad():
        state.model[0].weight.add_(1)
    swa.after_fit(None, state)
    assert equal(values(state.model), before)


@pytest.mark.parametrize("start", [-1, 1.0, 1.5, -0.1, True, float("nan")])
def test_start_out_of_range_raises(start):
    with pytest.raises(ValueError, match=r"SWA\(start=.*allowed: an int from 0"):
        SWA(start)


def test_other_final_value_raises():
    with pytest.raises(ValueError, match=r"SWA\(final=None\): allowed: 'averaged', 'trained'"):
        SWA(final=None)


def test_fit_that_ends_before_start_raises_before_training():
    trainer = trainer_of(SWA(2))
    with pytest.raises(ValueError, match=r"SWA\(start=2\) averages no epoch of a fit of 2"):
        trainer.fit(batches(), epochs=2)
    assert trainer.state.step == 0


def test_fit_of_zero_epochs_completes():
    trainer_of(SWA(2)).fit(batches(), epochs=0)


def test_no_device_sync():
    swa = SWA(0)
    trainer_of(swa, net=model().to("meta"), device="meta").fit(batches(), epochs=2)
    assert swa.averaged.n_averaged == 2


def test_syncs_do_not_grow_with_the_number_of_batches():
    trainer = trainer_of(SWA(0))

    def reads_of(epochs, count):
        with Reads() as reads:
            trainer.fit(batches(count), epochs=epochs)
        return reads.count

    assert reads_of(2, 3) == reads_of(2, 6)


def test_global_generator_is_not_used():
    trainer = trainer_of(SWA(0), net=normed())
    before = torch.get_rng_state()
    trainer.fit(batches(), batches(1), epochs=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_data_loader_is_read_in_an_extra_pass():
    swa = SWA(0)
    dataset = [(x, y) for xs, ys in batches() for x, y in zip(xs, ys, strict=True)]
    trainer_of(swa, net=normed()).fit(DataLoader(dataset, batch_size=4), epochs=2)
    theirs = averaged_by_hand(normed(), 0, epochs=2)
    assert equal(values(swa.averaged), values(theirs))


@every_cancel
@early_or_late
def test_any_cancel_trains_as_without_the_handler(signal, scope, early):
    swa = SWA(0, final="trained")
    trainer = cancelled_fit(swa, signal, scope, early)
    assert equal(weights(trainer), undisturbed(signal, scope))
    trainer.fit(batches(), epochs=2)
    assert swa.averaged.n_averaged == 2
