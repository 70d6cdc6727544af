import lbfgs
import torch
from example_checks import code_lines
from helpers import equal, weights
from torch import nn

from trackside.views.verify.verify_resume import verify_resume


def plain(epochs):
    torch.manual_seed(0)
    train, valid = lbfgs.digits()
    model = nn.Linear(64, 10)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5, line_search_fn="strong_wolfe")
    torch.manual_seed(1)
    for _ in range(epochs):
        model.train()
        for x, y in train:

            def closure(x=x, y=y):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16):
                    loss = loss_fn(model(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for x, y in valid:
                total += loss_fn(model(x), y).item() * len(x)
                count += len(x)
        print(total / count)
    return model, total / count


def test_it_equals_the_plain_loop_bit_for_bit():
    ours = lbfgs.job()
    torch.manual_seed(1)
    state = ours.trainer.fit(ours.train_loader, ours.valid_loader, epochs=2)
    theirs, loss = plain(epochs=2)
    assert equal(weights(ours.trainer), theirs.parameters())
    assert state.metrics["valid_loss"] == loss < 0.3


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    assert code_lines(lbfgs, "digits") <= 1.5 * code_lines(plain)


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(lbfgs.job, epochs=2, batches=2)
    assert verification.differences == ()
    assert verification.warnings == ()
