import copy
from contextlib import ExitStack

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    furthest,
    state_of,
    trainer_of,
    weights,
)
from torch import nn

from trackside.events import AttachError
from trackside.handlers.performance.activation_checkpointing import ActivationCheckpointing
from trackside.handlers.performance.compile import Compile
from trackside.handlers.performance.mixed_precision import MixedPrecision


class Block(nn.Module):
    def __init__(self, norm=nn.LayerNorm, dropout=0.5):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(dropout), norm(8))

    def forward(self, x):
        return x + self.inner(x)


class Counting(Block):
    """Counts its calls; cannot be compiled."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class Deep(nn.Module):
    """A few blocks between two layers."""

    def __init__(self, seed=0, block=Counting, **options):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Linear(5, 8)
            self.blocks = nn.ModuleList([block(**options) for _ in range(3)])
            self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def deep_trainer(*handlers, options=None, **more):
    return trainer_of(*handlers, net=Deep(**(options or {})), **more)


def trained(*handlers, epochs=2, options=None, **more):
    """A trainer after a fit with fixed random numbers."""
    trainer = deep_trainer(*handlers, options=options, **more)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        trainer.fit(batches(), batches(), epochs=epochs)
        trainer.after = torch.get_rng_state()
    return trainer


def is_patched(net):
    return any("forward" in vars(module) for module in net.modules())


def saved_bytes(*handlers):
    """The bytes that autograd keeps for the backward pass of one batch."""
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    trainer = deep_trainer(*handlers)
    hooks = ExitStack()
    trainer.on("begin_batch")(lambda trainer, state: hooks.enter_context(_hooks(pack)) and None)
    trainer.on("after_pred")(lambda trainer, state: hooks.close())
    trainer.fit(batches(1, size=64))
    return total


def _hooks(pack):
    return torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)


@pytest.mark.parametrize("which", [(Block,), ("blocks.*",), ("blocks.0", "blocks.1"), (nn.Tanh,)])
def test_training_with_dropout_is_bitwise_unchanged(which):
    ours, plain = trained(ActivationCheckpointing(*which)), trained()
    assert equal(weights(ours), weights(plain))


def test_later_random_numbers_are_unchanged():
    ours, plain = trained(ActivationCheckpointing(Block)), trained()
    assert torch.equal(ours.after, plain.after)


def test_fewer_activations_are_kept():
    assert saved_bytes(ActivationCheckpointing(Block)) < saved_bytes() / 2


def test_selected_submodule_runs_twice_only_in_training():
    trainer = deep_trainer(ActivationCheckpointing("blocks.0", "blocks.2"))
    net = trainer.state.model
    trainer.fit(batches(1))
    assert [block.calls for block in net.blocks] == [2, 1, 2]
    trainer.validate(batches(1))
    trainer.predict(batches(1))
    assert [block.calls for block in net.blocks] == [4, 3, 4]


def test_outermost_of_nested_submodules_is_selected():
    trainer = deep_trainer(ActivationCheckpointing(nn.Sequential, "blocks.*"))
    trainer.fit(batches(1))
    assert [block.calls for block in trainer.state.model.blocks] == [2, 2, 2]
    assert len(trainer.handlers[0]._forwards) == 3


def test_model_itself_is_never_selected():
    trainer = trainer_of(ActivationCheckpointing(nn.Sequential), net=nn.Sequential(Deep()))
    trainer.fit(batches(1))
    assert len(trainer.handlers[0]._forwards) == 3


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, lambda n: nn.BatchNorm1d(n, momentum=None)])
def test_running_statistics_are_updated_once(norm):
    options = {"norm": norm}
    ours, plain = trained(ActivationCheckpointing(Block), options=options), trained(options=options)
    assert equal(weights(ours), weights(plain))
    assert equal(ours.state.model.buffers(), plain.state.model.buffers())


def test_recomputation_uses_the_same_precision():
    for handlers in (
        [MixedPrecision(), ActivationCheckpointing(Block)],
        [ActivationCheckpointing(Block), MixedPrecision()],
    ):
        assert equal(weights(trained(*handlers)), weights(trained(MixedPrecision())))
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_works_with_compile_in_any_order_and_compiles_once(order, norm):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    handlers = [ActivationCheckpointing(Block), Compile(backend="aot_eager", fullgraph=True)]
    options = {"block": Block, "norm": norm, "dropout": 0.0}
    trainer = trained(*[handlers[i] for i in order], options=options, epochs=3)
    plain = trained(options=options, epochs=3)
    assert furthest(weights(trainer), weights(plain)) < 1e-5
    buffers = [[b.float() for b in t.state.model.buffers()] for t in (trainer, plain)]
    assert not buffers[0] or furthest(*buffers) < 1e-5
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


def test_model_is_unchanged_between_activities():
    seen = []

    class Watch:
        def any_transition(self, trainer, state, transition):
            seen.append(is_patched(state.model))

    trainer = deep_trainer(ActivationCheckpointing(Block), Watch())
    trainer.fit(batches(), batches())
    assert set(seen) == {False}


def test_copied_model_calls_its_own_submodules():
    trainer = deep_trainer(ActivationCheckpointing(Block), options={"dropout": 0.0})
    trainer.fit(batches(1))
    twin = copy.deepcopy(trainer.state.model).eval()
    before = twin(batches(1)[0][0])
    trainer.fit(batches())
    assert torch.equal(twin(batches(1)[0][0]), before)


def test_instance_forward_is_restored():
    trainer = deep_trainer(ActivationCheckpointing(Block), options={"dropout": 0.0})
    block, plain = trainer.state.model.blocks[0], deep_trainer(options={"dropout": 0.0})
    mine = plain.state.model.blocks[0].forward = lambda x: x * 2
    block.forward = mine
    for each in (trainer, plain):
        each.fit(batches())
    assert block.forward is mine
    assert equal(weights(trainer), weights(plain))


def test_replaced_model_is_checkpointed():
    trainer = deep_trainer(ActivationCheckpointing(Block))
    trainer.fit(batches(1))
    other = trainer.state.model = Deep(seed=1)
    trainer.state.optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    trainer.fit(batches(1))
    assert [block.calls for block in other.blocks] == [2, 2, 2]


def test_error_in_the_model_restores_it():
    trainer = deep_trainer(ActivationCheckpointing(Block))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trainer.fit([(torch.zeros(4, 7), torch.zeros(4, dtype=torch.long))])
    assert not is_patched(trainer.state.model)


def test_works_on_a_hand_made_state():
    handler, net = ActivationCheckpointing(Block), Deep()
    state = state_of(model=net, training=True)

    def forward(state):
        state.pred = state.model(torch.zeros(2, 5))
        return "after_pred"

    handler.begin_batch(trainer_of(), state)
    assert handler.wrap_forward(forward)(state) == "after_pred"
    state.pred.sum().backward()
    assert [block.calls for block in net.blocks] == [2, 2, 2]


@pytest.mark.parametrize("which", [(), (3,), (int,), (nn.Linear(1, 1),), (Block, None)])
def test_wrong_selection_raises(which):
    with pytest.raises(TypeError, match="allowed: classes of modules"):
        ActivationCheckpointing(*which)


@pytest.mark.parametrize("which", [nn.Conv2d, "layers.*", ""])
def test_selection_without_match_raises_at_attach(which):
    trainer = deep_trainer()
    with pytest.raises(AttachError, match=r"Deep has no such submodule; there are: first \(Linear"):
        trainer.attach(ActivationCheckpointing(Block, which))
    assert trainer.handlers == []


def test_no_device_sync():
    trainer = trainer_of(ActivationCheckpointing(Block), net=Deep().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "begin_backward", "after_step"])
def test_detach_inside_a_batch_leaves_nothing(signal):
    handler = ActivationCheckpointing(Block)
    trainer, plain = deep_trainer(handler, options={"dropout": 0.0}), deep_trainer()
    plain = deep_trainer(options={"dropout": 0.0})
    trainer.on(signal, once=True)(lambda trainer, state: trainer.detach(handler))
    for each in (trainer, plain):
        each.fit(batches(2))
    assert not is_patched(trainer.state.model)
    assert handler._model is None
    assert equal(weights(trainer), weights(plain))


@every_cancel
def test_any_cancel_leaves_the_next_fit_unchanged(signal, scope, undisturbed):
    trainer = cancelled_fit(ActivationCheckpointing(nn.Tanh), signal, scope, early=False)
    assert not is_patched(trainer.state.model)
    trainer.state.model.load_state_dict(undisturbed[0])
    trainer.fit(batches(), batches(2))
    assert equal(weights(trainer), undisturbed[1])


@pytest.fixture(scope="module")
def undisturbed():
    trainer = trainer_of()
    before = copy.deepcopy(trainer.state.model.state_dict())
    trainer.fit(batches(), batches(2))
    return before, weights(trainer)
