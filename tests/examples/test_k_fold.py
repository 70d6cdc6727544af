import copy
from types import SimpleNamespace

import k_fold
import pytest
import torch
from example_checks import code_lines
from helpers import equal, weights
from torch import nn
from torch.utils.data import DataLoader

from trackside.events import cancel_for
from trackside.views.verify.verify_resume import verify_resume


def fit(todo):
    """The weights at the end of each fold, and the state."""
    ends = []
    todo.trainer.on("after_fit")(lambda trainer, state: ends.append(weights(trainer)))
    return ends, todo.trainer.fit(todo.train_loader, todo.valid_loader, epochs=2)


def plain(epochs):
    torch.manual_seed(0)
    data, first = k_fold.digits(), k_fold.network()
    loss_fn, ends = nn.CrossEntropyLoss(), []
    for fold in range(k_fold.FOLDS):
        model = copy.deepcopy(first)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        train, valid = loaders(data, fold)
        for epoch in range(epochs):
            model.train()
            train.sampler.state.epoch = epoch
            for x, y in train:
                loss_fn(model(x), y).backward()
                optimizer.step()
                optimizer.zero_grad()
            model.eval()
            total = count = 0
            with torch.no_grad():
                for x, y in valid:
                    total += loss_fn(model(x), y).item() * len(x)
                    count += len(x)
            print(fold, epoch, total / count)
        ends.append((model, total / count))
    return ends


def loaders(data, fold):
    state = SimpleNamespace(fold=fold, epoch=0)
    samplers = (k_fold.FoldSampler(state, len(data), training) for training in (True, False))
    return [DataLoader(data, 32, False, sampler) for sampler in samplers]


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    left_out = "FoldSampler", "digits", "network"
    assert code_lines(k_fold, *left_out) <= 1.5 * code_lines(plain)


def test_each_fold_equals_the_fit_of_a_fresh_network_bit_for_bit():
    ends, state = fit(k_fold.job())
    expected = plain(epochs=2)
    assert len(ends) == len(state.losses) == len(expected) == k_fold.FOLDS
    for end, loss, (model, plain_loss) in zip(ends, state.losses, expected, strict=True):
        assert equal(end, model.parameters())
        assert loss == pytest.approx(plain_loss)


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


def test_a_fit_stopped_at_any_boundary_resumes_exactly():
    verification = verify_resume(k_fold.job, epochs=1, batches=1)
    assert verification.differences == ()
    assert verification.boundaries > 5 * k_fold.FOLDS
