import copy

import pytest
import torch
from helpers import CANCELS, every_cancel, furthest, raise_at, state_of, trainer_of, weights
from torch import nn

from trackside.handlers.performance.channels_last import ChannelsLast

LAST = torch.channels_last


def net(seed=0):
    """Two convolutions, one with a 1×1 kernel, batch norm, and a linear head."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 1),
            nn.Flatten(),
            nn.Linear(6 * 16, 3),
        )


def images(count=3, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(4, 3, 6, 6, generator=generator), torch.tensor([0, 1, 2, 0]))
        for _ in range(count)
    ]


def conv_trainer(*handlers, **options):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return trainer_of(*handlers, net=model, optimizer=optimizer, **options)


def formats(tensor):
    return [
        name for name in (LAST, torch.contiguous_format) if tensor.is_contiguous(memory_format=name)
    ]


def kernel(trainer):
    return trainer.state.model[0].weight


def test_weights_are_converted_at_attach():
    trainer = conv_trainer(ChannelsLast())
    assert formats(kernel(trainer)) == [LAST]
    assert kernel(trainer).shape == (4, 3, 3, 3)


def test_inputs_and_activations_are_channels_last():
    trainer = conv_trainer(ChannelsLast())
    seen = []
    trainer.on("after_pred")(lambda trainer, state: seen.append(formats(state.xb)))
    trainer.state.model[0].register_forward_hook(lambda m, i, out: seen.append(formats(out)))
    trainer.fit(images(1), images(1))
    trainer.predict(images(1))
    assert seen == [[LAST]] * 6


def test_gradients_and_optimizer_state_are_channels_last():
    trainer, seen = conv_trainer(ChannelsLast()), []

    @trainer.on("after_step")
    def look(trainer, state):
        kept = state.optimizer.state[kernel(trainer)]["momentum_buffer"]
        seen.extend([formats(kernel(trainer).grad), formats(kept)])

    trainer.fit(images(1))
    assert seen == [[LAST], [LAST]]


def test_training_is_the_same_except_for_rounding():
    ours, plain = conv_trainer(ChannelsLast()), conv_trainer()
    for trainer in (ours, plain):
        trainer.fit(images(), images(), epochs=3)
    assert furthest(weights(ours), weights(plain)) < 1e-5


def test_detach_restores_the_format_of_everything():
    handler = ChannelsLast()
    trainer = conv_trainer(handler)
    trainer.fit(images())
    trained = weights(trainer)
    trainer.detach(handler)
    state = trainer.state.optimizer.state[kernel(trainer)]["momentum_buffer"]
    assert formats(kernel(trainer)) == formats(state) == [torch.contiguous_format]
    assert all(torch.equal(a, b) for a, b in zip(trained, weights(trainer), strict=True))
    assert handler._changed == {}


def test_tensors_already_channels_last_stay_so():
    trainer = conv_trainer()
    trainer.state.model[0].to(memory_format=LAST)
    with trainer.attach(ChannelsLast()):
        pass
    assert formats(kernel(trainer)) == [LAST]


@pytest.mark.parametrize("signal", ["begin_batch", "after_loss", "after_backward", "after_step"])
def test_detach_inside_a_batch_leaves_nothing_and_training_continues(signal):
    handler, plain = ChannelsLast(), conv_trainer()
    trainer = conv_trainer(handler)
    trainer.on(signal, once=True)(lambda trainer, state: trainer.detach(handler))
    trainer.fit(images())
    plain.fit(images())
    assert formats(kernel(trainer)) == [torch.contiguous_format]
    assert furthest(weights(trainer), weights(plain)) < 1e-5


def test_attach_after_a_fit_converts_the_optimizer_state():
    trainer, plain = conv_trainer(), conv_trainer()
    trainer.fit(images())
    plain.fit(images())
    trainer.attach(ChannelsLast())
    assert formats(trainer.state.optimizer.state[kernel(trainer)]["momentum_buffer"]) == [LAST]
    trainer.fit(images())
    plain.fit(images())
    assert furthest(weights(trainer), weights(plain)) < 1e-5


def test_5d_tensors_are_channels_last_3d():
    model = nn.Sequential(nn.Conv3d(2, 3, 2), nn.Flatten(), nn.Linear(3 * 8, 3))
    trainer = trainer_of(ChannelsLast(), net=model)
    data = [(torch.randn(4, 2, 3, 3, 3), torch.tensor([0, 1, 2, 0]))]
    trainer.on("after_pred")(lambda trainer, state: seen.append(state.xb))
    seen = []
    trainer.fit(data)
    for tensor in (model[0].weight, seen[0]):
        assert tensor.is_contiguous(memory_format=torch.channels_last_3d)


def test_images_in_containers_are_converted_and_others_are_not():
    image, vector = images(1)[0][0], torch.zeros(4, 5)
    state = state_of(xb={"image": image, "more": (vector, "text"), "list": [image]})
    ChannelsLast().begin_batch(None, state)
    assert formats(state.xb["image"]) == formats(state.xb["list"][0]) == [LAST]
    assert state.xb["more"][0] is vector
    assert state.xb["more"][1] == "text"
    assert formats(image) == [torch.contiguous_format]


def test_channels_last_input_is_not_copied():
    image = images(1)[0][0].to(memory_format=LAST)
    state = state_of(xb=image)
    ChannelsLast().begin_batch(None, state)
    assert state.xb is image


def test_copy_and_state_dict_have_the_same_values():
    trainer = conv_trainer(ChannelsLast())
    trainer.fit(images())
    twin = copy.deepcopy(trainer.state.model)
    other = net(seed=1)
    other.load_state_dict(trainer.state.model.state_dict())
    for model in (twin, other):
        assert torch.equal(model[0].weight, kernel(trainer))


def test_no_device_sync():
    model = net().to("meta")
    trainer = trainer_of(ChannelsLast(), net=model, device="meta")
    trainer.fit(images(), images())
    assert trainer.state.step == 3


@every_cancel
def test_any_cancel_keeps_the_format_and_the_next_fit_unchanged(signal, scope):
    trainer = conv_trainer(ChannelsLast())
    if signal.startswith("after_cancel_"):
        inner = signal.removeprefix("after_cancel_")
        raise_at(trainer, f"begin_{inner}", CANCELS[inner], within=scope)
    raise_at(trainer, signal, CANCELS[scope])
    trainer.fit(images(2), images(1))
    assert formats(kernel(trainer)) == [LAST]
    trainer.fit(images(2), images(1))
    assert trainer.state.step == 2


def test_detaching_from_one_of_two_trainers_restores_that_one():
    handler = ChannelsLast()
    first, second = conv_trainer(handler), conv_trainer(handler)
    first.detach(handler)
    assert formats(kernel(first)) == [torch.contiguous_format]
    assert formats(kernel(second)) == [LAST]
