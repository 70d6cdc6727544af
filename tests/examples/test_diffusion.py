import diffusion
import torch
from example_checks import code_lines, energy_distance
from helpers import equal, weights
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trackside.views.verify.verify_resume import verify_resume


def plain(epochs):
    torch.manual_seed(0)
    model = diffusion.Denoiser()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    loader = diffusion.digits()
    torch.manual_seed(1)
    for epoch in range(epochs):
        total, count = 0.0, 0
        for (images,) in loader:
            (noisy, step), noise = diffusion.add_noise(images, None)
            loss = loss_fn(model(noisy, step), noise)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            averaged.update_parameters(model)
            total += loss.detach() * len(images)
            count += len(images)
        print(epoch, total / count)
    return averaged.module


def test_it_equals_the_plain_loop_and_its_average_bit_for_bit():
    ours = diffusion.job()
    torch.manual_seed(1)
    ours.trainer.fit(ours.train_loader, epochs=2)
    assert equal(weights(ours.trainer), plain(epochs=2).parameters())


def test_samples_are_nearer_to_the_digits_than_noise_by_half():
    todo = diffusion.job()
    (digits,) = todo.train_loader.dataset.tensors
    state = todo.trainer.fit(todo.train_loader, epochs=25)
    noise = torch.rand(512, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    samples = diffusion.sample(state.model, 512)
    assert energy_distance(samples, digits) < energy_distance(noise, digits) / 2


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    shared = ("digits", "add_noise", "sample")
    assert code_lines(diffusion, *shared) <= 1.5 * code_lines(plain)


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(diffusion.job, epochs=2, batches=2)
    assert verification.differences == ()
    assert verification.warnings == ()
