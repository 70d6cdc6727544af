from collections import Counter

import gan
import pytest
import torch
from example_checks import code_lines, energy_distance
from helpers import equal
from matplotlib.image import imread
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

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


def plain(epochs):
    torch.manual_seed(0)
    g, d = gan.networks().values()
    g_optimizer = torch.optim.Adam(g.parameters(), lr=2e-3, betas=(0.5, 0.99))
    d_optimizer = torch.optim.Adam(d.parameters(), lr=2e-3, betas=(0.5, 0.99))
    loader = DataLoader(gan.digits(), 64, shuffle=True)
    torch.manual_seed(1)
    for _ in range(epochs):
        for index, (images,) in enumerate(loader):
            fake = g(len(images)).detach()
            loss = softplus(-d(images)).mean() + softplus(d(fake)).mean()
            loss.backward()
            d_optimizer.step()
            d_optimizer.zero_grad()
            if (index + 1) % 2 == 0:
                loss = softplus(-d(g(len(images)))).mean()
                loss.backward()
                g_optimizer.step()
                g_optimizer.zero_grad()
                d_optimizer.zero_grad()
    return {"g": g, "d": d}


def test_it_equals_the_plain_loop_bit_for_bit():
    ours = gan.job()
    torch.manual_seed(1)
    models = ours.trainer.fit(ours.train_loader, epochs=2).models
    for name, net in plain(epochs=2).items():
        assert equal(parameters(models[name]), parameters(net))


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    left_out = "networks", "digits", "write_images"
    assert code_lines(gan, *left_out) <= 1.5 * code_lines(plain)


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(gan.job, epochs=2, batches=3)
    assert verification.differences == ()
    assert verification.boundaries > 10
