"""The batch-norm pass of SWA: every batch goes through what changes it in training."""

import pytest
import torch
from helpers import batches, equal, trainer_of, weights
from nets import by_hand, normed, values
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from trackside.engine import Trainer
from trackside.events import CancelBatchException, CancelTrainException
from trackside.handlers import SWA, ActivationStats, Checkpoint, MixedPrecision, MixUp

DICTS = [{"image": x, "target": y, "name": ["x"] * len(x)} for x, y in batches()]


def statistics_by_torch(swa, inputs):
    """What torch computes for the averaged weights on these inputs."""
    average = AveragedModel(normed())
    average.load_state_dict(swa.averaged.state_dict())
    update_bn(inputs, average)
    return values(average.module)


class Unpack:
    """Makes inputs and targets of a dict, and says nothing about it."""

    def begin_batch(self, trainer, state):
        state.xb, state.yb = state.batch["image"], state.batch["target"]


class AddInPlace:
    def begin_batch(self, t, s):  # the parameters may have any names
        s.xb += 1


class AddInScope:
    def within_batch(self, trainer, state):
        state.xb = state.xb + 1
        yield


def test_a_handler_that_unpacks_the_batch_does_so_for_the_statistics():
    swa = SWA(0)
    trainer_of(Unpack(), swa, net=normed()).fit(DICTS, epochs=2)
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, [x for x, _ in batches()]))


@pytest.mark.parametrize("make", [AddInPlace, AddInScope])
def test_a_change_in_place_or_in_a_scope_is_made_for_the_statistics(make):
    swa = SWA(0)
    trainer = trainer_of(make(), swa, net=normed())
    trainer.fit([(x.clone(), y) for x, y in batches()])
    inputs = [x + 1 for x, _ in batches()]
    if make is AddInPlace:  # these batches were changed in training already
        inputs = [x + 1 for x in inputs]
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, inputs))


def test_scopes_are_closed_after_each_batch_of_the_pass():
    mixup = MixUp(seed=0)
    trainer_of(mixup, SWA(0), net=normed()).fit(batches(), epochs=2)
    assert mixup._mixed is None


def test_a_wrap_of_forward_is_used_in_the_pass():
    swa = SWA(0)
    trainer = trainer_of(swa, net=normed())

    def unpacking(forward):
        def run(state):
            state.xb, state.yb = state.batch["image"], state.batch["target"]
            return forward(state)

        return run

    trainer.wrap("forward", unpacking)
    trainer.fit(DICTS, epochs=2)
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, [x for x, _ in batches()]))


def test_a_wrap_that_calls_the_model_by_a_name_of_its_own_is_used():
    swa, net = SWA(0), normed()
    trainer = trainer_of(swa, net=net)

    def by_name(forward):
        def run(state):
            state.pred = net(state.xb)
            return "after_pred"

        return run

    trainer.wrap("forward", by_name)
    trainer.fit(batches(), epochs=2)
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, [x for x, _ in batches()]))


def test_the_pass_has_the_precision_of_the_training():
    seen = []
    net = normed()
    net[0].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    trainer_of(MixedPrecision(), SWA(0), net=net).fit(batches())
    assert seen == [torch.bfloat16] * 6


def test_only_those_that_change_the_inputs_are_called():
    counted = []
    trainer = trainer_of(Unpack(), SWA(0), net=normed())
    trainer.on("begin_batch")(lambda t, state: counted.append(state.xb))
    trainer.fit(DICTS, epochs=2)
    assert len(counted) == 6


def test_a_batch_that_is_skipped_in_training_is_left_out():
    class SkipSecond:
        def begin_batch(self, trainer, state):
            if state.batch_index == 1:
                raise CancelBatchException("a bad batch")

    swa = SWA(0)
    trainer_of(SkipSecond(), swa, net=normed()).fit(batches())
    inputs = [x for n, (x, _) in enumerate(batches()) if n != 1]
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, inputs))


def test_a_cancel_of_the_training_ends_the_pass():
    class TwoBatches:
        def begin_batch(self, trainer, state):
            state.xb = state.xb + 0
            if state.batch_index == 2:
                raise CancelTrainException("enough")

    swa = SWA(0)
    trainer_of(TwoBatches(), swa, net=normed()).fit(batches())
    inputs = [x for x, _ in batches()[:2]]
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, inputs))


def test_a_fit_that_resumes_after_its_last_batch_knows_who_changes_the_inputs(tmp_path):
    def fitted(folder, epochs, **options):
        swa = SWA(0)
        trainer = trainer_of(Unpack(), swa, Checkpoint(folder, epochs=1), net=normed())
        trainer.fit(DICTS, epochs=epochs, **options)
        return swa

    whole = fitted(tmp_path / "whole", 2)
    resumed = fitted(tmp_path / "whole", 2, resume=tmp_path / "whole")
    assert equal(values(resumed.averaged), values(whole.averaged))


def test_frozen_batch_norm_keeps_its_statistics():
    swa, net = SWA(0), normed()
    net[1].requires_grad_(False).eval()
    before = values(net[1])
    trainer_of(swa, net=net).fit(batches(), epochs=2)
    assert equal(values(swa.averaged.module[1]), before)


class Counting(nn.Module):
    """Has a buffer that every forward pass in train mode changes."""

    def __init__(self):
        super().__init__()
        self.body = normed()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += self.training
        return self.body(x)


def test_other_buffers_are_those_of_the_training():
    net = Counting()
    trainer_of(SWA(0), net=net).fit(batches(), epochs=2)
    assert net.calls == 6


def test_the_state_after_the_pass_is_that_of_the_training():
    seen = {}
    trainer = trainer_of(Unpack(), SWA(0), net=normed())
    trainer.on("after_epoch")(lambda t, state: seen.update(before=counters(state)))
    trainer.on("after_fit")(lambda t, state: seen.update(after=counters(state)))
    trainer.fit(DICTS, DICTS, epochs=2)
    assert seen["before"] == seen["after"]


def counters(state):
    modes = [module.training for module in state.model.modules()]
    return state.samples, state.step, state.batch_index, state.training, modes, {**state.metrics}


def test_activation_statistics_have_no_rows_of_the_pass():
    stats = ActivationStats(every=1)
    trainer = trainer_of(stats, SWA(0), net=normed())
    trainer.fit(batches(), epochs=2)
    trainer.fit(batches(), epochs=1)
    assert len(stats.rows) == 9 * len(normed())


def test_an_error_in_the_pass_says_where_the_weights_are():
    class FailsLater:
        def begin_batch(self, trainer, state):
            state.xb = state.xb + 0
            if not state.phase.startswith("fit"):
                raise ValueError("no more data")

    swa = SWA(0)
    trainer = trainer_of(FailsLater(), swa, net=normed())
    with pytest.raises(ValueError, match="no more data") as caught:
        trainer.fit(batches(), epochs=2)
    assert any("SWA.averaged the averaged ones" in note for note in caught.value.__notes__)
    assert swa.averaged.n_averaged == 2


def test_a_trainer_class_of_ones_own_needs_no_arguments_of_the_standard_one():
    class Own(Trainer):
        def __init__(self, net, handlers):
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            super().__init__(net, nn.CrossEntropyLoss(), optimizer, handlers)

    swa = SWA(0)
    Own(normed(), [swa]).fit(batches(), epochs=2)
    assert equal(values(swa.averaged.module), statistics_by_torch(swa, [x for x, _ in batches()]))


def test_training_itself_is_not_changed():
    trainer = trainer_of(Unpack(), SWA(0, final="trained"), net=normed())
    trainer.fit(DICTS, epochs=2)
    assert equal(weights(trainer), list(by_hand(normed(), epochs=2).parameters()))
    assert trainer.handlers[0].__dict__ == {}


def test_a_detached_handler_observes_nothing():
    swa = SWA(0)
    trainer = trainer_of(swa, net=normed())
    trainer.detach(swa)
    assert trainer.instruments == ()
