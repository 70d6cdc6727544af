import pytest
import torch
from helpers import (
    cancelled_fit,
    equal,
    every_cancel,
    state_of,
    trainer_of,
    weights,
)
from torch import nn

from trackside.events import AttachError
from trackside.handlers import Metrics
from trackside.handlers.augmentation.cutmix import CutMix
from trackside.handlers.augmentation.mixup import MixUp

cross_entropy = nn.functional.cross_entropy


def images(count=3, size=4):
    generator = torch.Generator().manual_seed(7)
    return [
        (
            torch.rand(size, 2, 6, 8, generator=generator),
            torch.randint(0, 3, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def net():
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(96, 3))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 10
    return net


def mixed(cutmix, xb):
    """The mixed inputs, the share of the own image, and the partners."""
    state = state_of(training=True, xb=xb)
    batch = cutmix.within_batch(None, state)
    next(batch)
    return state.xb, *cutmix._mixed


def numbered(count=4, height=6, width=8):
    """Images whose pixels all have the number of the image."""
    return torch.arange(float(count))[:, None, None, None].expand(count, 2, height, width).clone()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_each_image_has_one_box_of_its_partner(alpha):
    cutmix, touched = CutMix(alpha), 0
    for _ in range(100):
        xb, share, partners = mixed(cutmix, numbered())
        for own, image in enumerate(xb):
            other = image != own
            if partners[own] != own:
                assert set(image[other].tolist()) <= {float(partners[own])}
                assert 1 - other.double().mean().item() == pytest.approx(share)
                rows, columns = other[0].any(1).nonzero(), other[0].any(0).nonzero()
                assert other[0].sum() == len(rows) * len(columns)  # a box without holes
                assert len(rows) == 0 or rows.max() - rows.min() + 1 == len(rows)
                assert len(columns) == 0 or columns.max() - columns.min() + 1 == len(columns)
                assert torch.equal(other[0], other[1])
                touched += 1
    assert touched > 100


def test_boxes_have_all_positions_and_sizes():
    cutmix, covered, shares = CutMix(), torch.zeros(6, 8), set()
    for _ in range(300):
        xb, share, partners = mixed(cutmix, numbered(2))
        if partners[0] == 1:
            covered += xb[0, 0]
            shares.add(round(share, 6))
    assert (covered > 0).all()
    assert len(shares) > 10


def test_loss_is_weighted_over_both_targets():
    ours, theirs = CutMix(seed=3), CutMix(seed=3)
    trainer = trainer_of(ours, net=net())
    trainer.fit(images(), epochs=2)
    by_hand = net()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    for x, y in images() * 2:
        xb, share, partners = mixed(theirs, x)
        pred = by_hand(xb)
        loss = share * cross_entropy(pred, y) + (1 - share) * cross_entropy(pred, y[partners])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert equal(weights(trainer), list(by_hand.parameters()))


def test_batch_of_the_loader_is_not_changed():
    data, untouched = images(), images()
    trainer_of(CutMix(), net=net()).fit(data, epochs=2)
    assert all(torch.equal(x, theirs) for (x, _), (theirs, _) in zip(data, untouched, strict=True))


def test_validation_is_not_changed():
    trainer, plain = (trainer_of(*some, Metrics(), net=net()) for some in ((CutMix(),), ()))
    assert trainer.validate(images()) == plain.validate(images())
    assert torch.equal(trainer.predict(images()), plain.predict(images()))


@pytest.mark.parametrize("shape", [(4, 6, 8), (4, 2, 3, 6, 8)])
def test_images_without_channels_and_videos_get_a_box(shape):
    cutmix = CutMix(8.0)
    assert mixed(cutmix, torch.rand(shape))[0].shape == shape


def test_integer_images_keep_their_dtype():
    xb, _, _ = mixed(CutMix(), torch.randint(0, 255, (4, 3, 6, 8), dtype=torch.uint8))
    assert xb.dtype is torch.uint8


@pytest.mark.parametrize(
    ("inputs", "what"), [(torch.ones(4, 5), r"Tensor \(4, 5\)"), ([torch.ones(4, 1, 6, 6)], "list")]
)
def test_input_that_is_not_an_image_raises(inputs, what):
    with pytest.raises(TypeError, match=f"CutMix cannot mix a {what}; expected images"):
        mixed(CutMix(), inputs)


def test_invalid_arguments_raise():
    with pytest.raises(ValueError, match=r"CutMix\(alpha=0\)"):
        CutMix(0)
    with pytest.raises(TypeError, match=r"CutMix\(seed='x'\)"):
        CutMix(seed="x")


def test_cutmix_beside_mixup_raises():
    with pytest.raises(AttachError, match="CutMix cannot be attached beside MixUp"):
        trainer_of(MixUp(), CutMix())


def test_no_device_sync():
    trainer = trainer_of(CutMix(), net=net().to("meta"), device="meta")
    trainer.fit(images(), images(), epochs=2)
    assert trainer.state.step == 6


def test_global_generator_is_not_used():
    trainer = trainer_of(CutMix(), net=net())
    data, before = images(), torch.get_rng_state()
    trainer.fit(data, epochs=2)
    assert torch.equal(torch.get_rng_state(), before)


class AsImages:
    """Reshapes the inputs to images of one row, and back before the forward pass."""

    def begin_batch(self, trainer, state):
        state.xb = state.xb[:, None, None]

    def wrap_forward(self, forward):
        def flat(state):
            images, state.xb = state.xb, state.xb.flatten(1)
            try:
                return forward(state)
            finally:
                state.xb = images

        return flat


@every_cancel
def test_any_cancel_ends_mixing(signal, scope):
    cutmix = CutMix()
    cancelled_fit(cutmix, signal, scope, early=False, handlers=[AsImages()])
    assert cutmix._mixed is None
