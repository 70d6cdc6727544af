import copy

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)
from nets import normed, values
from torch import nn
from torch.optim.lr_scheduler import StepLR

from trackside import Trainer
from trackside.events import AttachError
from trackside.handlers import LRSchedule, Metrics
from trackside.handlers.optimization.unfreeze import Unfreeze
from trackside.handlers.optimization.weight_decay_groups import WeightDecayGroups


def adamw(net, **options):
    return torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5, **options)


def trainer_with(*handlers, net=None, optimizer=adamw):
    net = net or normed()
    return trainer_of(*handlers, net=net, optimizer=optimizer(net))


def groups(trainer):
    """(weight decay, the names of the parameters) of each group."""
    names = {id(p): name for name, p in trainer.state.model.named_parameters()}
    return [
        (group["weight_decay"], [names[id(p)] for p in group["params"]])
        for group in trainer.state.optimizer.param_groups
    ]


WHOLE = [(0.5, ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"])]
SPLIT = [(0.5, ["0.weight", "3.weight"]), (0.0, ["0.bias", "1.weight", "1.bias", "3.bias"])]


def test_biases_and_norms_do_not_decay():
    trainer = trainer_with(WeightDecayGroups())
    trainer.fit(batches())
    assert groups(trainer) == SPLIT


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_training_equals_two_manual_groups_bitwise(optimizer):
    ours, theirs = normed(), normed()
    options = {"lr": 0.1, "weight_decay": 0.5}
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    others = [p for p in theirs.parameters() if p.ndim < 2]
    by_hand = optimizer([{"params": decayed}, {"params": others, "weight_decay": 0.0}], **options)
    plain = optimizer(ours.parameters(), **options)
    trainer_of(WeightDecayGroups(), net=ours, optimizer=plain).fit(batches(), epochs=2)
    trainer_of(net=theirs, optimizer=by_hand).fit(batches(), epochs=2)
    assert equal(values(ours), values(theirs))


class Odd(nn.Module):
    """Has every kind of parameter."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1)
        self.norm = nn.LayerNorm((2, 3))
        self.scale_bias = nn.Parameter(torch.zeros(1, 3, 1))
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.table = nn.Embedding(3, 4)
        self.rms = nn.RMSNorm(4)
        self.groups = nn.GroupNorm(1, 4)
        self.instance = nn.InstanceNorm2d(4, affine=True)
        self.slope = nn.PReLU()
        self.recurrent = nn.LSTM(2, 2)


def test_exemption_depends_on_shape_name_and_layer():
    net = Odd()
    optimizer = adamw(net)
    WeightDecayGroups().begin_fit(None, state_of(model=net, optimizer=optimizer))
    names = {id(p): name for name, p in net.named_parameters()}
    assert [names[id(p)] for p in optimizer.param_groups[0]["params"]] == [
        "token",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "table.weight",
        "recurrent.weight_ih_l0",
        "recurrent.weight_hh_l0",
    ]


def test_each_group_is_split_with_its_own_options():
    net = normed()
    optimizer = torch.optim.AdamW(
        [
            {"params": net[0].parameters(), "lr": 0.2},
            {"params": net[3].parameters(), "weight_decay": 0.0},
            {"params": net[1].parameters(), "lr": 0.3},
        ],
        weight_decay=0.5,
    )
    trainer = trainer_of(WeightDecayGroups(), net=net, optimizer=optimizer)
    trainer.fit(batches())
    assert groups(trainer) == [
        (0.5, ["0.weight"]),
        (0.0, ["3.weight", "3.bias"]),
        (0.5, []),
        (0.0, ["0.bias"]),
        (0.0, ["1.weight", "1.bias"]),
    ]
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 1e-3, 0.3, 0.2, 0.3]


def test_group_without_weight_decay_is_not_split():
    trainer = trainer_of(WeightDecayGroups(), net=normed())
    trainer.fit(batches())
    assert len(groups(trainer)) == 1


def test_param_names_are_kept():
    net = normed()
    optimizer = torch.optim.AdamW(net.named_parameters(), weight_decay=0.5)
    handler = WeightDecayGroups()
    trainer = trainer_of(handler, net=net, optimizer=optimizer)
    trainer.fit(batches())
    assert [group["param_names"] for group in optimizer.param_groups] == [n for _, n in SPLIT]
    trainer.detach(handler)
    assert optimizer.param_groups[0]["param_names"] == WHOLE[0][1]


def test_groups_stay_split_in_the_second_fit():
    trainer = trainer_with(WeightDecayGroups())
    trainer.fit(batches())
    trainer.validate(batches(1))
    trainer.fit(batches())
    assert groups(trainer) == SPLIT


def test_schedule_moves_and_restores_both_groups():
    rates = []
    schedule = LRSchedule(lambda optimizer: StepLR(optimizer, 1, 0.5), every="epoch")
    trainer = trainer_with(schedule, WeightDecayGroups())
    trainer.on("begin_train")(
        lambda t, state: rates.append([group["lr"] for group in state.optimizer.param_groups])
    )
    trainer.fit(batches(), epochs=2)
    assert rates == [[0.1, 0.1], [0.05, 0.05]]
    assert [group["lr"] for group in trainer.state.optimizer.param_groups] == [0.1, 0.1]


def test_tensor_rate_is_not_shared():
    net = normed()
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.1), weight_decay=0.5)
    trainer_of(WeightDecayGroups(), net=net, optimizer=optimizer).fit(batches())
    first, second = optimizer.param_groups
    assert first["lr"] is not second["lr"]
    assert first["lr"] == second["lr"]


# detached


def test_detach_merges_the_groups():
    handler = WeightDecayGroups()
    trainer = trainer_with(handler)
    before = copy.deepcopy(trainer.state.optimizer.state_dict()["param_groups"])
    trainer.fit(batches())
    trainer.detach(handler)
    assert groups(trainer) == WHOLE
    assert trainer.state.optimizer.state_dict()["param_groups"] == before


def test_detach_keeps_the_current_state_and_rate():
    handler = WeightDecayGroups()
    trainer = trainer_with(handler)
    trainer.fit(batches())
    optimizer = trainer.state.optimizer
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    moments = {p: state["exp_avg"].clone() for p, state in optimizer.state.items()}
    trainer.detach(handler)
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert all(torch.equal(optimizer.state[p]["exp_avg"], m) for p, m in moments.items())


def test_detach_merges_groups_after_loading_optimizer_state():
    handler = WeightDecayGroups()
    trainer = trainer_with(handler)
    trainer.fit(batches())
    trainer.state.optimizer.load_state_dict(trainer.state.optimizer.state_dict())
    trainer.detach(handler)
    assert groups(trainer) == WHOLE


def test_detach_restores_weight_decay_of_a_fully_exempt_group():
    net = normed()
    optimizer = torch.optim.SGD(net[1].parameters(), lr=0.1, weight_decay=0.5)
    handler = WeightDecayGroups()
    trainer = trainer_of(handler, net=net, optimizer=optimizer)
    trainer.fit(batches())
    assert groups(trainer) == [(0.5, []), (0.0, ["1.weight", "1.bias"])]
    trainer.detach(handler)
    assert groups(trainer) == [(0.5, ["1.weight", "1.bias"])]


def test_detach_during_fit_restores_decay_and_merges_at_the_end():
    ours, plain = trainer_with(WeightDecayGroups()), trainer_with()
    for trainer in (ours, plain):
        trainer.attach(LRSchedule(lambda optimizer: StepLR(optimizer, 1, 0.5), every="epoch"))
    handler, *others = ours.handlers
    ours.on("begin_train", once=True)(lambda t, state: t.detach(handler))
    for trainer in (ours, plain):
        trainer.fit(batches(), epochs=2)
    assert equal(weights(ours), weights(plain))
    assert groups(ours) == WHOLE
    assert ours.handlers == others


def test_detach_restores_decay_in_groups_split_by_Unfreeze():
    handler = WeightDecayGroups()
    trainer = trainer_with(handler, Unfreeze(["3", "0"], lr_divisor=2.0))
    trainer.on("begin_train", once=True)(lambda t, state: t.detach(handler))
    seen = []
    trainer.on("begin_step")(lambda t, state: seen.append(groups(t)))
    trainer.fit(batches())
    assert {decay for decay, _ in seen[-1]} == {0.5}
    assert {decay for decay, _ in groups(trainer)} == {0.5}
    names = [name for _, some in groups(trainer) for name in some]
    assert sorted(names) == sorted(WHOLE[0][1])


def test_unfreeze_divides_the_rates_of_both_groups():
    trainer = trainer_with(Unfreeze(["3", "0"], lr_divisor=2.0), WeightDecayGroups())
    seen = []
    trainer.on("begin_step", once=True)(
        lambda t, state: seen.extend(
            (group["lr"], *some)
            for group, some in zip(state.optimizer.param_groups, groups(t), strict=True)
        )
    )
    trainer.fit(batches())
    assert (0.1, 0.5, ["3.weight"]) in seen
    assert (0.05, 0.0, ["0.bias"]) in seen
    assert groups(trainer) == SPLIT


class NoDecay(torch.optim.SGD):
    def __init__(self, params):
        super().__init__(params, lr=0.1)
        del self.param_groups[0]["weight_decay"]


def test_optimizer_without_weight_decay_raises_at_attach():
    trainer = trainer_with(optimizer=lambda net: NoDecay(net.parameters()))
    with pytest.raises(AttachError, match="NoDecay has no option weight_decay"):
        trainer.attach(WeightDecayGroups())
    assert trainer.handlers == []


def test_a_trainer_without_an_optimizer_evaluates_with_it_attached():
    trainer = Trainer(model(), nn.CrossEntropyLoss(), handlers=[Metrics(), WeightDecayGroups()])
    assert "valid_loss" in trainer.validate(batches(1))


def test_replaced_optimizer_without_weight_decay_raises_at_begin_fit():
    trainer = trainer_with(WeightDecayGroups())
    trainer.state.optimizer = NoDecay(trainer.state.model.parameters())
    with pytest.raises(AttachError, match="NoDecay has no option weight_decay"):
        trainer.fit(batches())


def test_no_device_sync():
    trainer = trainer_with(WeightDecayGroups(), net=normed().to("meta"))
    trainer.state.device = torch.device("meta")
    trainer.fit(batches(), epochs=2)
    assert groups(trainer) == SPLIT


@every_cancel
@early_or_late
def test_any_cancel_then_detach_merges_the_groups(signal, scope, early):
    handler, plain = WeightDecayGroups(), []

    class Decaying:
        def attached(self, trainer):
            trainer.state.optimizer.param_groups[0]["weight_decay"] = 0.5
            plain.extend(trainer.state.optimizer.param_groups[0]["params"])

        def after_fit(self, trainer, state):
            pass

    trainer = cancelled_fit(handler, signal, scope, early, handlers=[Decaying()])
    trainer.detach(handler)
    (group,) = trainer.state.optimizer.param_groups
    assert group["weight_decay"] == 0.5
    assert all(ours is theirs for ours, theirs in zip(group["params"], plain, strict=True))


def test_detach_restores_the_order_of_parameters():
    handler, net = WeightDecayGroups(), model()
    trainer = trainer_with(handler, net=net)
    trainer.fit(batches())
    trainer.detach(handler)
    whole = trainer.state.optimizer.param_groups[0]["params"]
    assert all(ours is theirs for ours, theirs in zip(whole, net.parameters(), strict=True))
