"""A captured call, on the CPU: what a graph would launch again, a function does here.

What is left to a GPU: the capture itself, `captured`.
"""

import math

import pytest
import torch
from helpers import batches, equal, model, trainer_of
from nets import normed
from torch import nn

from trackside.events import CancelStepException
from trackside.events.utils.nested import leaves
from trackside.handlers.performance import _fusing_trial, _graphed_call
from trackside.handlers.performance.fuse import Fuse

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.fixture(autouse=True)
def _pays(monkeypatch):
    """Decide every trial for the captured call."""
    monkeypatch.setattr(_fusing_trial, "_GAIN", math.inf)


@pytest.fixture
def replays(monkeypatch):
    """Capture as CUDA does: later runs read and write the memory of the first one."""
    made = []

    def captured(compute, devices):
        compute()
        results = compute()

        def replay():
            made.append(1)
            again = leaves(compute(), torch.Tensor)
            for own, new in zip(leaves(results, torch.Tensor), again, strict=True):
                own.copy_(new)

        for own in leaves(results, torch.Tensor):
            own.fill_(math.nan)  # a capture computes nothing
        return results, replay

    monkeypatch.setattr(_graphed_call, "captured", captured)
    return made


def dropping():
    return nn.Sequential(normed(), nn.Dropout(0.5))


def values(trainer):
    return list(trainer.state.model.state_dict().values())


def pair(net=model, device="cpu"):
    graphed = Fuse("eager", trial=1, graph=True)
    return [trainer_of(*handlers, net=net().to(device)) for handlers in ([graphed], [])]


def fit_both(trainers, data):
    for trainer in trainers:
        torch.manual_seed(3)
        trainer.fit(data)


@pytest.mark.parametrize("net", [model, normed, dropping])
def test_weights_of_a_captured_call_are_bit_for_bit_those_without_it(replays, net):
    trainers = pair(net)
    fit_both(trainers, batches(9))
    assert len(replays) == 9 - 2  # one batch of each side of the trial is computed by the rows
    assert equal(*map(values, trainers))


def test_gradients_that_a_step_keeps_are_not_overwritten_by_the_next_replay(replays):
    trainers = pair()

    def keep(trainer, state):
        if state.batch_index % 2:
            raise CancelStepException("later")

    for trainer in trainers:
        trainer.on("begin_step")(keep)
        trainer.fit(batches(9))
    assert len(replays) == 7
    assert equal(*map(values, trainers))


def test_what_a_handler_keeps_of_a_batch_is_not_overwritten_by_the_next_replay(replays):
    trainers, kept = pair(), ([], [])
    for trainer, of_this in zip(trainers, kept, strict=True):
        trainer.on("after_batch")(lambda t, s, of_this=of_this: of_this.extend((s.pred, s.loss)))
    fit_both(trainers, batches(6))
    assert equal(*kept)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net[3].weight.__setattr__("data", net[3].weight.detach().clone()),
        lambda net: net[1].eval(),
    ],
    ids=["memory", "mode"],
)
def test_a_graph_is_left_when_what_is_baked_in_has_changed(replays, change):
    trainers = pair(normed)
    for trainer in trainers:
        trainer.on("begin_batch", every=6, once=True)(
            lambda trainer, state: change(trainer.state.model)
        )
    fit_both(trainers, batches(9))
    assert len(replays) == 5 - 2
    assert "has changed since it was captured" in trainers[0].explain("fused")
    assert equal(*map(values, trainers))


def test_without_a_cuda_device_the_rows_compute_and_the_reason_is_told():
    trainers = pair()
    fit_both(trainers, batches(5))
    assert equal(*map(values, trainers))
    assert "only work on one CUDA device is captured" in trainers[0].explain("fused")


@needs_cuda
@pytest.mark.parametrize("net", [model, normed, dropping])
def test_a_cuda_graph_gives_bit_for_bit_the_weights_without_it(net):
    trainers = pair(net, "cuda")
    fit_both(trainers, [(x.cuda(), y.cuda()) for x, y in batches(12)])
    assert trainers[0].explain("fused").startswith("fused: forward, loss and backward")
    assert equal(*map(values, trainers))


def test_a_generator_of_the_model_is_as_before_when_it_is_captured(replays):
    own = torch.Generator().manual_seed(1)
    net = nn.Linear(2, 2)
    net.generator = own
    trainer = trainer_of(net=net)

    def call(model, loss_fn, parameters, x):
        return x + torch.rand(2, generator=own)

    graphed = _graphed_call.GraphedCall(call, lambda: trainer.rng_kept(None))
    found = graphed(net, None, [], torch.zeros(2))
    assert torch.equal(found, torch.rand(2, generator=torch.Generator().manual_seed(1)))


def test_a_capture_is_refused_while_autocast_keeps_weights_that_it_has_cast():
    torch.set_autocast_enabled("cuda", True)
    try:
        with pytest.raises(RuntimeError, match="would not be cast again"):
            _graphed_call.captured(lambda: None, {torch.device("cpu")})
    finally:
        torch.set_autocast_enabled("cuda", False)


@needs_cuda
def test_a_capture_that_fails_leaves_the_stream_and_the_generator_as_they_were():
    before = torch.cuda.current_stream()
    device = torch.device("cuda", torch.cuda.current_device())
    with pytest.raises(RuntimeError):
        _graphed_call.captured(lambda: torch.rand(1, device=device).item(), {device})
    assert torch.cuda.current_stream() == before
    torch.rand(1, device=device)
