import warnings

import pytest
import torch
from helpers import batches, model, trainer_of
from torch import nn

from trackside.engine import Trainer


class Loss(nn.Module):
    """A loss with a parameter, a dropout, and buffers; it records the modes of its calls."""

    def __init__(self, teacher=None):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.dropout = nn.Dropout(0.5)
        self.teacher = teacher
        self.modes = []

    def forward(self, pred, yb):
        self.modes.append(self.training)
        return nn.functional.cross_entropy(self.dropout(pred) * self.scale, yb)


def net_with(part):
    return nn.Sequential(nn.Linear(5, 8), part, nn.Linear(8, 3))


def modes_in_fit(net, loss_fn=None, handlers=()):
    """The modes of the modules in the first training batch and in the first validation batch."""
    modes = {}

    class Modes:
        def after_pred(self, trainer, state):
            modes.setdefault(state.training, [part.training for part in net.modules()])

    trainer_of(*handlers, Modes(), net=net, loss_fn=loss_fn).fit(batches(1), batches(1), epochs=2)
    return modes[True], modes[False]


def test_a_loss_module_is_moved_to_the_device_of_the_trainer():
    net, loss_fn = model().to("meta"), nn.CrossEntropyLoss(weight=torch.ones(3))
    Trainer(net, loss_fn, torch.optim.SGD(net.parameters(), lr=0.1), device="meta")
    assert loss_fn.weight.device.type == "meta"


def test_named_loss_modules_are_moved_to_the_device():
    loss_fns = {"a": nn.CrossEntropyLoss(weight=torch.ones(3)), "b": nn.functional.mse_loss}
    Trainer(model(), loss_fns=loss_fns, device="meta")
    assert loss_fns["a"].weight.device.type == "meta"


def test_a_loss_module_is_in_train_mode_in_training_and_in_eval_mode_in_validation():
    loss_fn = Loss()
    trainer_of(loss_fn=loss_fn).fit(batches(1), batches(1), epochs=2)
    assert loss_fn.modes == [True, False, True, False]
    assert loss_fn.training


def test_the_parameters_of_the_loss_can_be_trained_alone():
    net, loss_fn = model().requires_grad_(False), Loss()
    optimizer = torch.optim.SGD(loss_fn.parameters(), lr=0.1)
    Trainer(net, loss_fn, optimizer).fit(batches(2))
    assert loss_fn.scale.item() != 1


def test_an_optimizer_of_neither_the_models_nor_the_losss_parameters_is_refused():
    net = model()
    other = torch.optim.SGD(model().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"cannot fit Sequential and Loss: .* none of its"):
        Trainer(net, Loss(), other).fit(batches())


@pytest.mark.parametrize("whole", [False, True])
def test_a_loss_or_a_part_of_it_in_eval_mode_stays_in_it(whole):
    loss_fn = Loss(nn.Dropout())
    (loss_fn if whole else loss_fn.teacher).eval()
    seen = []
    loss_fn.register_forward_pre_hook(lambda *_: seen.append(loss_fn.teacher.training))
    trainer_of(loss_fn=loss_fn).fit(batches(1), batches(1))
    assert seen == [False, False]
    assert loss_fn.modes == [not whole, False]


def test_a_frozen_part_in_eval_mode_stays_in_it_without_a_warning():
    norm = nn.BatchNorm1d(8).requires_grad_(False).eval()
    before = norm.running_mean.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training, validation = modes_in_fit(net_with(norm))
    assert training == [True, True, False, True]
    assert not any(validation)
    assert torch.equal(norm.running_mean, before)
    assert not norm.training


def test_a_part_in_eval_mode_that_is_not_frozen_is_named_and_stays_in_it():
    with pytest.warns(UserWarning, match=r"kept in it: 1 \(Dropout\); to train"):
        training, _ = modes_in_fit(net_with(nn.Dropout().eval()))
    assert training == [True, True, False, True]


def test_of_parts_inside_of_each_other_the_outermost_is_named():
    part = nn.Sequential(nn.Sequential(nn.Dropout(), nn.ReLU()))
    with pytest.warns(UserWarning, match=r"kept in it: 1 \(Sequential\); to train"):
        modes_in_fit(net_with(part.eval()))


def test_a_model_in_eval_mode_as_a_whole_is_trained_as_a_whole():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training, _ = modes_in_fit(net_with(nn.Dropout()).eval())
    assert all(training)


def test_a_handler_can_say_which_modules_stay_in_eval_mode():
    net = net_with(nn.Dropout())

    class Keep:
        def begin_fit(self, trainer, state):
            state.kept_in_eval.append(net[1])

    training, _ = modes_in_fit(net, handlers=[Keep()])
    assert training == [True, True, False, True]
    assert net[1].training


def test_what_stays_in_eval_mode_does_so_after_a_validation_in_the_middle_of_an_epoch():
    norm = nn.BatchNorm1d(8).requires_grad_(False).eval()
    modes = []

    class Watch:
        def begin_batch(self, trainer, state):
            modes.append((state.training, norm.training))
            state.validate_next = state.training

    trainer_of(Watch(), net=net_with(norm)).fit(batches(2), batches(1))
    assert [training for training, _ in modes] == [True, False, True, False, False]
    assert not any(mode for _, mode in modes)


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (3, r"0 \(BatchNorm1d\), 1 .*, 2 \(BatchNorm1d\); to train"),
        (4, r"2 \(BatchNorm1d\) and 1 more;"),
        (5, "and 2 more;"),
    ],
)
def test_three_modules_that_stay_in_eval_mode_are_named_and_the_others_counted(count, named):
    net = nn.Sequential(*(nn.BatchNorm1d(5).eval() for _ in range(count)), nn.Linear(5, 3))
    with pytest.warns(UserWarning, match=named):
        trainer_of(net=net).fit(batches(1))
