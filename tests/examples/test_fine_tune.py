import fine_tune
import torch
from example_checks import code_lines
from helpers import equal, weights
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, random_split

from trackside.views.verify.verify_resume import verify_resume


def plain(epochs, batches):
    torch.manual_seed(0)
    model = fine_tune.network()
    train, valid = random_split(fine_tune.Digits(), [0.8, 0.2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader, valid_loader = DataLoader(train, 32, shuffle=True), DataLoader(valid, 120)
    torch.manual_seed(1)
    for epoch in range(epochs):
        model.train()
        model.vit.requires_grad_(epoch > 0)
        for batch, _ in zip(loader, range(batches), strict=False):
            model(**batch).loss.backward()
            clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in valid_loader:
                total += model(**batch).loss * len(batch["labels"])
                count += len(batch["labels"])
        print(epoch, total / count)
    return model


def test_it_equals_the_plain_loop_bit_for_bit():
    ours = fine_tune.job()
    torch.manual_seed(1)
    ours.trainer.fit(ours.train_loader, ours.valid_loader, epochs=2, batches_per_epoch=5)
    assert equal(weights(ours.trainer), plain(epochs=2, batches=5).parameters())


def test_the_body_is_frozen_in_the_first_epoch_and_trained_from_the_second_on():
    todo = fine_tune.job()
    body = todo.trainer.state.model.vit
    seen = [[p.detach().clone() for p in body.parameters()]]
    todo.trainer.on("after_train")(
        lambda trainer, state: seen.append([p.detach().clone() for p in body.parameters()])
    )
    todo.trainer.fit(todo.train_loader, epochs=2, batches_per_epoch=3)
    assert equal(seen[0], seen[1])
    assert not equal(seen[1], seen[2])


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    assert code_lines(fine_tune, "Digits", "network") <= 1.5 * code_lines(plain)


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(fine_tune.job, epochs=2, batches=2)
    assert verification.differences == ()
    assert verification.warnings == ()
