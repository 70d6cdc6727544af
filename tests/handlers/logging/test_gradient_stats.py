import math

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
from nets import undisturbed
from pairs import alone, trainer_of_two
from reads import Reads
from torch import nn
from torch.amp import GradScaler

from trackside.handlers import GradientAccumulation, GradientClip, StopOnNaN
from trackside.handlers.control.skip_bad_batch import SkipBadBatch
from trackside.handlers.logging.gradient_stats import GradientStats
from trackside.handlers.performance.mixed_precision import MixedPrecision

NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]


def column(stats, name):
    return [row[name] for row in stats.rows]


def observed(*gradients, **options):
    """The rows of one step with these gradients."""
    net = nn.ParameterList(nn.Parameter(torch.zeros(g.shape, dtype=g.dtype)) for g in gradients)
    for parameter, gradient in zip(net, gradients, strict=True):
        parameter.grad = gradient
    stats, state = GradientStats(**options), state_of(model=net)
    stats.begin_step(None, state)
    stats.after_epoch(None, state)
    return stats.rows


def by_hand():
    net = model()
    x, y = batches(1)[0]
    nn.functional.cross_entropy(net(x), y).backward()
    return [parameter.grad for parameter in net.parameters()]


def test_each_parameter_has_a_row():
    stats = GradientStats()
    trainer_of(stats).fit(batches(1))
    assert column(stats, "name") == NAMES
    for row, gradient in zip(stats.rows, by_hand(), strict=True):
        assert row["mean"] == pytest.approx(gradient.mean().item(), abs=1e-7)
        assert row["std"] == pytest.approx(gradient.std(correction=0).item())
        assert row["histogram"] == torch.histc(gradient.abs().log10(), 40, -12, 2).tolist()


def test_the_histogram_counts_log10_of_the_magnitudes():
    gradient = torch.tensor([0.0, 1e-9, -0.02, 0.5, -3.0, 1e9, math.nan, math.inf])
    (row,) = observed(gradient, bins=4, decades=(-3, 1))
    assert row["histogram"] == [2, 1, 1, 3]


def test_the_edges_of_the_bins_are_an_attribute():
    assert GradientStats(bins=2, decades=(-4, 0)).edges == [-4, -2, 0]


def test_a_sparse_gradient_counts_its_stored_values():
    table = nn.Embedding(4, 2, sparse=True)
    (
        table(torch.tensor([0, 2, 2])) * torch.tensor([[1.0, 3.0], [1.0, 1.0], [1.0, 1.0]])
    ).sum().backward()
    assert table.weight.grad.is_sparse
    (row,) = observed(table.weight.grad)
    assert row["mean"] == 2
    assert sum(row["histogram"]) == 4


def test_a_complex_gradient_counts_both_parts():
    (row,) = observed(torch.tensor([1 + 3j]))
    assert (row["mean"], row["std"]) == (2, 1)


def test_a_parameter_without_a_gradient_has_no_row():
    net = model()
    net[0].requires_grad_(False)
    stats = GradientStats()
    trainer_of(stats, net=net).fit(batches(1))
    assert column(stats, "name") == NAMES[2:]


def test_the_names_of_a_compiled_model_have_no_prefix():
    stats = GradientStats()
    trainer_of(stats, net=torch.compile(model(), backend="eager")).fit(batches(1))
    assert column(stats, "name") == NAMES


def test_every_nth_step_of_the_fit_has_rows():
    stats = GradientStats(every=4)
    trainer_of(stats).fit(batches(), batches(), epochs=3)
    assert column(stats, "step") == [0] * 4 + [4] * 4 + [8] * 4
    assert column(stats, "epoch") == [0] * 4 + [1] * 4 + [2] * 4
    assert column(stats, "batch") == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("stats_first", [True, False])
def test_accumulated_gradients_are_recorded_complete_and_unclipped(stats_first):
    stats, plain = GradientStats(every=1), GradientStats(every=1)
    others = [GradientAccumulation(2), GradientClip(max_norm=1e-3)]
    trainer_of(*([stats, *others] if stats_first else [*others, stats])).fit(batches(2, size=2))
    (whole,) = [tuple(torch.cat(parts) for parts in zip(*batches(2, size=2), strict=True))]
    trainer_of(plain).fit([whole])
    assert column(stats, "mean") == pytest.approx(column(plain, "mean"), abs=1e-7)
    assert column(stats, "std") == pytest.approx(column(plain, "std"), abs=1e-7)


@pytest.mark.parametrize("stats_first", [True, False])
def test_scaled_gradients_are_recorded_unscaled(stats_first):
    stats, plain = GradientStats(), GradientStats()
    scaled = MixedPrecision(torch.float16, GradScaler("cpu", init_scale=2.0**10))
    trainer_of(*([stats, scaled] if stats_first else [scaled, stats])).fit(batches(1))
    trainer_of(plain).fit(batches(1))
    assert column(stats, "std") == pytest.approx(column(plain, "std"), rel=0.02)


@pytest.mark.parametrize("guard", [StopOnNaN, SkipBadBatch])
def test_gradients_that_stop_the_fit_are_recorded(guard):
    stats = GradientStats(every=1)
    data = batches(1)
    data[0][0][0, 0] = math.nan
    trainer = trainer_of(guard(), stats)
    trainer.fit(data)
    assert trainer.state.step == 0
    assert all(math.isnan(mean) for mean in column(stats, "mean"))


def test_a_second_fit_appends_its_rows_and_validate_adds_none():
    stats = GradientStats(every=2)
    trainer = trainer_of(stats)
    trainer.fit(batches())
    before = [dict(row) for row in stats.rows]
    trainer.validate(batches())
    assert stats.rows == before
    trainer.fit(batches())
    assert stats.rows[:8] == before
    assert column(stats, "fit") == [0] * 8 + [1] * 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, r"GradientStats\(every=0\): allowed: an int, from 1"),
        ({"bins": True}, r"GradientStats\(bins=True\): found a bool; allowed: an int, from 1"),
        ({"decades": (2, -2)}, r"\(2, -2\): allowed: two finite numbers, low < high"),
    ],
)
def test_invalid_arguments_raise(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        GradientStats(**options)


def test_training_is_bitwise_unchanged():
    plain, watched = trainer_of(), trainer_of(GradientStats(every=1))
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_no_device_sync():
    stats = GradientStats(every=1)
    trainer_of(stats, net=model().to("meta"), device="meta").fit(batches(), epochs=2)
    assert stats.rows == []
    assert stats._unread == []


def test_no_device_sync_in_a_batch():
    trainer = trainer_of(GradientStats(every=1))
    with Reads() as reads:
        trainer.fit(batches(), epochs=2)
    assert reads.count == 0


def test_global_generator_is_not_used():
    trainer = trainer_of(GradientStats(every=1))
    before = torch.get_rng_state()
    trainer.fit(batches())
    assert torch.equal(torch.get_rng_state(), before)


def test_detached_during_a_fit_it_keeps_its_rows_and_adds_none():
    stats = GradientStats(every=1)
    trainer = trainer_of(stats)
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: t.detach(stats))
    trainer.fit(batches(), epochs=2)
    assert set(column(stats, "epoch")) == {0}


@every_cancel
@early_or_late
def test_after_any_cancel_no_row_is_unread_and_training_is_unchanged(signal, scope, early):
    stats = GradientStats(every=1)
    trainer = cancelled_fit(stats, signal, scope, early)
    assert stats._unread == []
    assert equal(weights(trainer), undisturbed(signal, scope))


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("of", ["a", "b"])
def test_the_gradients_of_one_model_are_those_that_it_has_alone(of, every):
    stats, expected = GradientStats(every, of=of), GradientStats(every)
    trainer_of_two(stats).fit(batches(4), epochs=2)
    alone(of, expected).fit(batches(4), epochs=2)

    def without_step(rows):
        return [{name: row[name] for name in row if name != "step"} for row in rows]

    assert without_step(stats.rows) == without_step(expected.rows)
