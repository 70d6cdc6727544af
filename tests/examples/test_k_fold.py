import copy

import k_fold
import pytest
import torch
from helpers import equal, weights
from torch import nn

from trackside.events import cancel_for


def fit(todo):
    """The weights at the end of each fold, and the state."""
    ends = []
    todo.trainer.on("after_fit")(lambda trainer, state: ends.append(weights(trainer)))
    return ends, todo.trainer.fit(todo.train_loader, todo.valid_loader, epochs=2)


def plain_fit(fold):
    """A fresh network trained on all other folds by a plain loop, and its loss on this one."""
    fresh = k_fold.job()
    model, optimizer = fresh.trainer.state.model.train(), fresh.trainer.state.optimizer
    images, targets = fresh.train_loader.dataset.tensors
    count = len(images)
    for epoch in range(2):
        order = torch.randperm(count, generator=torch.Generator().manual_seed(epoch + 1))
        for rows in order[order % k_fold.FOLDS != fold].split(32):
            nn.functional.cross_entropy(model(images[rows]), targets[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
    held_out = torch.arange(count) % k_fold.FOLDS == fold
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(images[held_out]), targets[held_out])
    return weights(fresh.trainer), loss.item()


def test_each_fold_equals_the_fit_of_a_fresh_network_bit_for_bit():
    ends, state = fit(k_fold.job())
    assert len(ends) == len(state.losses) == k_fold.FOLDS
    for fold in range(k_fold.FOLDS):
        expected, loss = plain_fit(fold)
        assert equal(ends[fold], expected)
        assert state.losses[fold] == pytest.approx(loss)


def test_a_second_fit_has_all_folds_again():
    todo = k_fold.job()
    first, losses = fit(todo)[0], todo.trainer.state.losses
    second, state = fit(todo)
    assert all(map(equal, first, second[:5]))
    assert state.losses == losses


def test_a_cancelled_fold_leaves_the_others_as_they_were():
    expected, _ = fit(k_fold.job())
    todo = k_fold.job()

    @todo.trainer.on("after_step")
    def cancel(trainer, state):
        if (state.fold, state.step) == (1, 5):
            raise cancel_for("fold")("not this one")

    ends, state = fit(todo)
    assert len(state.losses) == k_fold.FOLDS - 1
    assert state.outcome == "completed"
    del ends[1], expected[1]
    assert all(map(equal, ends, expected))


def states_at(todo, *places):
    """The states at (trigger, fold, batches read in its pass)."""
    for transition in todo.trainer.steps(todo.train_loader, todo.valid_loader, epochs=2):
        state = todo.trainer.state
        if (transition.trigger, state.fold, state.batch_index) in places:
            yield copy.deepcopy(todo.trainer.state_dict())


@pytest.mark.filterwarnings("ignore:.*cannot save its position")
def test_a_resumed_fit_equals_the_uninterrupted_one():
    expected, whole = fit(k_fold.job())
    places = [("after_batch", 1, 3), ("after_batch", 4, 44), ("after_fold", 2, 11)]
    saved = list(states_at(k_fold.job(), *places))
    assert len(saved) == 7  # two epochs; the fourth batch also in validation
    for each in saved:
        todo = k_fold.job()
        state = todo.trainer.fit(todo.train_loader, todo.valid_loader, resume=each)
        assert equal(weights(todo.trainer), expected[-1])
        assert state.losses == whole.losses
