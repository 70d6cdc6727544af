from collections import Counter

import gan
import pytest
import torch
from example_checks import energy_distance
from helpers import equal
from matplotlib.image import imread

from trackside.events import cancel_for
from trackside.views.verify.verify_resume import verify_resume


def parameters(net):
    return [parameter.detach().clone() for parameter in net.parameters()]


def test_samples_are_nearer_to_the_digits_than_noise_by_half(tmp_path):
    todo = gan.job()
    (digits,) = todo.train_loader.dataset.tensors
    state = todo.trainer.fit(todo.train_loader, epochs=todo.epochs)
    with torch.no_grad():
        samples = state.models["g"](512)
    noise = torch.rand(512, 64, generator=torch.Generator().manual_seed(0))
    assert energy_distance(samples, digits) < energy_distance(noise, digits) / 2
    gan.write_images(str(tmp_path / "digits.png"), samples[:64])
    assert imread(tmp_path / "digits.png").shape[:2] == (64, 64)


def test_the_generator_is_updated_once_for_two_updates_of_the_discriminator():
    todo = gan.job()
    begun = Counter()
    for name in ("discriminator", "generator"):
        todo.trainer.on(f"begin_{name}")(lambda trainer, state, name=name: begun.update([name]))
    state = todo.trainer.fit(todo.train_loader)
    assert begun == {"discriminator": 29, "generator": 14}
    assert state.step == 43


@pytest.mark.parametrize(
    ("cancelled", "steps"), [("discriminator", {"g": 14}), ("generator", {"d": 29})]
)
def test_a_cancelled_update_leaves_the_other(cancelled, steps):
    todo = gan.job()
    trainer, state = todo.trainer, todo.trainer.state
    before = {name: parameters(net) for name, net in state.models.items()}
    made = Counter()
    trainer.on("after_step")(lambda trainer, state: made.update([state.of]))

    @trainer.on("after_loss", inside=cancelled)
    def cancel(trainer, state):
        raise cancel_for(cancelled)("not this one")

    trainer.fit(todo.train_loader)
    assert made == steps
    for name, net in state.models.items():
        is_same = equal(before[name], parameters(net))
        assert is_same == (name not in steps)


def test_an_epoch_equals_the_plain_loop_bit_for_bit():
    ours, theirs = gan.job(), gan.job()
    torch.manual_seed(1)
    ours.trainer.fit(ours.train_loader)
    torch.manual_seed(1)
    state = theirs.trainer.state
    g, d = state.models.values()
    for index, (images,) in enumerate(theirs.train_loader):
        fake = g(len(images)).detach()
        state.optimizers["d"].zero_grad()
        state.loss_fns["d"]((d(images), d(fake))).backward()
        state.optimizers["d"].step()
        if index % 2:
            state.optimizers["g"].zero_grad()
            state.loss_fns["g"](d(g(len(images)))).backward()
            state.optimizers["g"].step()
    for name, net in state.models.items():
        assert equal(parameters(ours.trainer.state.models[name]), parameters(net))


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(gan.job, epochs=2, batches=3)
    assert verification.differences == ()
    assert verification.boundaries > 10
