from collections import namedtuple

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)
from nets import normed, undisturbed
from pairs import alone, trainer_of_two
from reads import Reads
from torch import nn

from trackside.events import AttachError, CancelBatchException
from trackside.handlers.averaging.ema import EMA
from trackside.handlers.logging.activation_stats import ActivationStats
from trackside.handlers.performance.activation_checkpointing import ActivationCheckpointing
from trackside.handlers.performance.compile import Compile
from trackside.handlers.performance.split_on_out_of_memory import SplitOnOutOfMemory


def column(stats, name):
    return [row[name] for row in stats.rows]


def hooks(net):
    return sum(len(module._forward_hooks) for module in net.modules())


def observed(net, x, **options):
    """The rows of one batch."""
    stats = ActivationStats(**options)
    state = state_of(model=net, training=True, batch_index=0)

    def forward(state):
        state.pred = net(x)
        return "after_pred"

    assert stats.wrap_forward(forward)(state) == "after_pred"
    stats.after_epoch(None, state)
    return stats.rows


def test_each_innermost_module_has_a_row():
    net, (x, _) = model(), batches(1)[0]
    rows = observed(net, x)
    outputs = [net[0](x), net[1](net[0](x)), net(x)]
    assert [row["name"] for row in rows] == ["0", "1", "2"]
    for row, output in zip(rows, outputs, strict=True):
        assert row["mean"] == pytest.approx(output.mean().item())
        assert row["std"] == pytest.approx(output.std(correction=0).item())
        assert row["histogram"] == torch.histc(output, 40, -10, 10).tolist()


def test_a_model_without_submodules_is_named_by_its_class():
    assert [row["name"] for row in observed(nn.Linear(5, 3), torch.ones(2, 5))] == ["Linear"]


def test_chosen_modules_have_rows_in_the_order_of_their_calls():
    net = nn.Sequential(model(), nn.Tanh())
    rows = observed(net, torch.ones(2, 5), modules=["1", "0", "0.2"])
    assert [row["name"] for row in rows] == ["0.2", "0", "1"]


def test_values_outside_count_in_the_outermost_bins_and_nan_in_none():
    values = torch.tensor([-7.0, -1.0, -0.5, 0.5, 99.0, float("inf"), float("nan")])
    (row,) = observed(nn.Identity(), values, bins=4, limits=(-1, 1))
    assert row["histogram"] == [2, 1, 0, 3]
    assert row["mean"] != row["mean"]


def test_the_edges_of_the_bins_are_an_attribute():
    assert ActivationStats(bins=4, limits=(-1, 1)).edges == [-1, -0.5, 0, 0.5, 1]


def test_the_deviation_of_one_value_is_zero():
    (row,) = observed(nn.Identity(), torch.tensor([3.0]))
    assert (row["mean"], row["std"]) == (3, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_numbers_of_any_kind_are_counted(dtype):
    (row,) = observed(nn.Identity(), torch.tensor([1, 3], dtype=dtype))
    assert (row["mean"], row["std"], sum(row["histogram"])) == (2, 1, 2)


def test_both_parts_of_complex_numbers_are_counted():
    (row,) = observed(nn.Identity(), torch.tensor([1 + 3j]))
    assert (row["mean"], row["std"]) == (2, 1)


class Outputs(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


Named = namedtuple("Named", "text tensor")
ONE = torch.ones(2)


@pytest.mark.parametrize(
    "output",
    [(ONE, ONE * 2), {"a": None, "b": [ONE]}, Named("x", ONE)],
    ids=["tuple", "dict", "named"],
)
def test_the_first_tensor_of_several_outputs_is_used(output):
    (row,) = observed(Outputs(output), None)
    assert row["mean"] == 1


@pytest.mark.parametrize("output", ["text", None, torch.empty(0)])
def test_an_empty_output_has_no_row(output):
    assert observed(Outputs(output), None) == []


def test_a_recurrent_module_is_observed():
    assert len(observed(nn.LSTM(5, 3), torch.ones(2, 4, 5))) == 1


def test_a_module_that_is_called_twice_has_two_rows():
    tanh = nn.Tanh()
    assert len(observed(nn.Sequential(tanh, nn.Identity(), tanh), ONE)) == 3


def test_an_output_is_recorded_before_an_inplace_module_changes_it():
    rows = observed(nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)), torch.tensor([-1.0, 1.0]))
    assert [row["mean"] for row in rows] == [0, 0.5]


def test_every_nth_batch_of_each_epoch_has_rows():
    stats = ActivationStats(["0"], every=2)
    trainer_of(stats).fit(batches(5), batches(5), epochs=2)
    assert column(stats, "epoch") == [0] * 3 + [1] * 3
    assert column(stats, "batch") == [0, 2, 4] * 2
    assert column(stats, "step") == [0, 2, 4, 5, 7, 9]


def test_a_second_fit_appends_its_rows_and_validate_adds_none():
    stats = ActivationStats(["0"], every=2)
    trainer = trainer_of(stats)
    trainer.fit(batches(), epochs=1)
    before = [dict(row) for row in stats.rows]
    trainer.validate(batches())
    trainer.predict(batches())
    assert stats.rows == before
    trainer.fit(batches(), epochs=1)
    assert stats.rows[:2] == before
    assert column(stats, "fit") == [0, 0, 1, 1]


def test_hooks_exist_only_in_the_forward_pass_of_an_observed_batch():
    net, seen, inside = model(), set(), []
    trainer = trainer_of(net=net)
    trainer.wrap(
        "forward", lambda forward: lambda state: inside.append(hooks(net)) or forward(state)
    )
    trainer.attach(ActivationStats(every=2))

    class Watch:
        def any_transition(self, trainer, state, transition):
            seen.add(hooks(net))

    trainer.attach(Watch())
    trainer.fit(batches(4), batches(1))
    assert inside == [3, 0, 3, 0, 0]
    assert seen == {0}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, CancelBatchException])
def test_hooks_are_removed_when_the_model_raises(error):
    class Failing(nn.Module):
        def forward(self, x):
            raise error

    net = nn.Sequential(nn.Linear(5, 3), Failing())
    trainer = trainer_of(ActivationStats(every=1), net=net)
    if error is CancelBatchException:
        trainer.fit(batches(1))
    else:
        with pytest.raises(error):
            trainer.fit(batches(1))
    assert hooks(net) == 0


def test_a_failed_epoch_has_its_rows():
    stats = ActivationStats(["0"], every=1)
    trainer = trainer_of(stats)

    @trainer.on("after_loss", when=lambda t, s: s.batch_index == 1)
    def fail(trainer, state):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        trainer.fit(batches())
    assert column(stats, "batch") == [0, 1]


@pytest.mark.parametrize("compiled_first", [True, False])
def test_a_model_compiled_by_the_handler_is_observed(compiled_first):
    stats, plain = ActivationStats(every=2), ActivationStats(every=2)
    both = [Compile(backend="eager"), stats]
    trainer_of(*(both if compiled_first else both[::-1])).fit(batches())
    trainer_of(plain).fit(batches())
    assert stats.rows == plain.rows


def test_a_model_compiled_by_the_user_is_observed():
    stats, plain = ActivationStats(every=2), ActivationStats(every=2)
    trainer_of(stats, net=torch.compile(model(), backend="eager")).fit(batches())
    trainer_of(plain).fit(batches())
    assert stats.rows == plain.rows


@pytest.mark.parametrize("observed_first", [True, False])
def test_activations_recomputed_in_backward_are_not_observed(observed_first):
    stats, plain = (ActivationStats(["0", "2"], every=1) for _ in range(2))
    both = [stats, ActivationCheckpointing("0")]
    trainer_of(*(both if observed_first else both[::-1])).fit(batches())
    trainer_of(plain).fit(batches())
    assert stats.rows == plain.rows


def test_a_split_batch_has_a_row_for_each_part():
    class Small(nn.Module):
        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return x

    stats = ActivationStats(["1"], every=1)
    net = nn.Sequential(nn.Linear(5, 3), Small())
    trainer_of(stats, SplitOnOutOfMemory(), net=net).fit(batches(2))
    assert column(stats, "batch") == [0, 0, 1, 1]


def test_an_averaged_model_has_no_hooks():
    ema = EMA()
    trainer_of(ActivationStats(every=1), ema).fit(batches())
    assert hooks(ema.averaged) == 0


def test_an_unknown_module_is_refused_when_attached():
    with pytest.raises(AttachError, match="Sequential has no module '3'; it has 0, 1, 2"):
        trainer_of(ActivationStats(["0", "3"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modules": "0"}, "expected several names"),
        ({"every": 0}, r"every=0\): allowed: an int, from 1"),
        ({"every": 1.5}, r"every=1.5\): found a float; allowed: an int, from 1"),
        ({"bins": 0}, r"bins=0\): allowed: an int, from 1"),
        ({"limits": (1, 1)}, r"\(1, 1\): allowed: two finite numbers, low < high"),
        ({"limits": (0, float("inf"))}, "allowed: two finite numbers"),
    ],
)
def test_invalid_arguments_raise(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ActivationStats(**options)


def test_training_is_bitwise_unchanged():
    plain, watched = trainer_of(net=normed()), trainer_of(ActivationStats(every=1), net=normed())
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_no_device_sync():
    stats = ActivationStats(every=1)
    trainer_of(stats, net=model().to("meta"), device="meta").fit(batches(), epochs=2)
    assert stats.rows == []
    assert stats._unread == []


def test_no_device_sync_in_a_batch():
    trainer = trainer_of(ActivationStats(every=1))
    with Reads() as reads:
        trainer.fit(batches(), epochs=2)
    assert reads.count == 0


def test_global_generator_is_not_used():
    trainer = trainer_of(ActivationStats(every=1))
    before = torch.get_rng_state()
    trainer.fit(batches())
    assert torch.equal(torch.get_rng_state(), before)


def test_detached_during_a_fit_it_keeps_its_rows_and_adds_none():
    stats = ActivationStats(["0"], every=1)
    trainer = trainer_of(stats)
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: t.detach(stats))
    trainer.fit(batches(), epochs=2)
    assert column(stats, "epoch") == [0] * 3
    assert hooks(trainer.state.model) == 0


@every_cancel
@early_or_late
def test_after_any_cancel_no_hook_and_no_unread_row_is_left(signal, scope, early):
    stats = ActivationStats(every=1)
    trainer = cancelled_fit(stats, signal, scope, early)
    assert hooks(trainer.state.model) == 0
    assert stats._unread == []
    assert equal(weights(trainer), undisturbed(signal, scope))


def test_it_observes_the_model_of_its_own_update():
    stats = ActivationStats(every=1, of="b")
    trainer = trainer_of_two(stats)
    seen = []
    for name, net in trainer.state.models.items():
        net.register_forward_hook(lambda *_, name=name: seen.append(name))
    trainer.fit(batches(2))
    assert seen == ["a", "b"] * 2
    assert sorted({row["batch"] for row in stats.rows}) == [0, 1]
    observed = ActivationStats(every=1)
    alone("b", observed).fit(batches(2))
    assert [row["mean"] for row in stats.rows] == [row["mean"] for row in observed.rows]


@pytest.mark.parametrize(("of", "message"), [(None, "say which one"), ("c", "no model 'c'")])
def test_several_models_need_a_name_that_is_one_of_them(of, message):
    with pytest.raises(AttachError, match=message):
        trainer_of_two(ActivationStats(of=of))
