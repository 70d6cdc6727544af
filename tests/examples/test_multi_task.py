from collections import Counter

import multi_task
import pytest
import torch
from example_checks import code_lines
from helpers import equal, weights

from trackside.events import cancel_for
from trackside.views.verify.verify_resume import verify_resume


def plain(epochs):
    torch.manual_seed(0)
    train, valid = multi_task.digits()
    model = multi_task.Network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    torch.manual_seed(1)
    for epoch in range(epochs):
        model.train()
        losses, count = {"digit": 0.0, "count": 0.0}, {"digit": 0, "count": 0}
        for x, task, y in train:
            loss = multi_task.loss_of(model(x, task), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses[task] += loss.detach() * len(x)
            count[task] += len(x)
        model.eval()
        means = {}
        with torch.no_grad():
            for name, batches in valid.items():
                total, seen = 0.0, 0
                for x, task, y in batches:
                    total += multi_task.loss_of(model(x, task), y) * len(x)
                    seen += len(x)
                means[name] = total / seen
        print(epoch, {task: losses[task] / count[task] for task in losses}, means)
    return model, means


def test_it_equals_the_plain_loop_bit_for_bit():
    ours = multi_task.job()
    torch.manual_seed(1)
    state = ours.trainer.fit(ours.train_loader, ours.valid_loader, epochs=2)
    model, means = plain(epochs=2)
    assert equal(weights(ours.trainer), model.parameters())
    for task, mean in means.items():
        assert state.metrics[f"{task}_loss"] == pytest.approx(mean.item())
    assert means["digit"] < 0.8
    assert means["count"] < 0.1


def test_tasks_take_turns_until_the_first_loader_is_exhausted():
    todo, begun = multi_task.job(), []
    for task in ("digit", "count"):
        todo.trainer.on(f"begin_{task}")(lambda trainer, state, task=task: begun.append(task))
    todo.trainer.fit(todo.train_loader)
    assert begun[:6] == ["digit", "digit", "count"] * 2
    assert Counter(begun) == {"digit": 45, "count": 22}


@pytest.mark.parametrize(("cancelled", "steps"), [("digit", 22), ("count", 45)])
def test_the_updates_of_one_task_are_cancelled_without_those_of_the_other(cancelled, steps):
    todo = multi_task.job()
    head = [p.detach().clone() for p in todo.trainer.state.model.heads[cancelled].parameters()]

    @todo.trainer.on("after_loss", inside=cancelled)
    def cancel(trainer, state):
        raise cancel_for(cancelled)("not this task")

    state = todo.trainer.fit(todo.train_loader)
    assert state.step == steps
    assert equal(head, state.model.heads[cancelled].parameters())


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    shared = ("digits", "ByTurns", "loss_of")
    assert code_lines(multi_task, *shared) <= 1.5 * code_lines(plain)


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(multi_task.job, epochs=2, batches=3)
    assert verification.differences == ()
    assert verification.warnings == ()
