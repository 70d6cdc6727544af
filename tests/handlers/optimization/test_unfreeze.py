import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from optimizers import OPTIMIZERS, Rateless, adamw, fitted, options, seen, sgd
from torch import nn

from trackside.events import AttachError, CancelEpochException
from trackside.handlers.control.skip_epochs import SkipEpochs
from trackside.handlers.optimization.unfreeze import Unfreeze
from trackside.handlers.optimization.weight_decay_groups import WeightDecayGroups
from trackside.handlers.schedules.annealing import Annealing, linear
from trackside.handlers.schedules.one_cycle import OneCycle

BOTH = ["2", "0"]


def record_trained(trainer, signal="begin_train"):
    """Record the names of the trainable parameters at each send of a signal."""
    recorded = []
    trainer.on(signal)(
        lambda t, state: recorded.append(
            [name for name, p in state.model.named_parameters() if p.requires_grad]
        )
    )
    return recorded


HEAD = ["2.weight", "2.bias"]
ALL = ["0.weight", "0.bias", *HEAD]


def test_groups_are_unfrozen_one_per_epoch():
    trainer = trainer_of(Unfreeze(["2", "0.weight", "0.bias"]))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=4)
    assert recorded == [HEAD, ["0.weight", *HEAD], ALL, ALL]


def test_every_sets_the_epochs_between_unfreezings():
    trainer = trainer_of(Unfreeze(["2.bias", "2.weight", "0"], every=2))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=5)
    assert [len(names) for names in recorded] == [1, 1, 2, 2, 4]


def test_frozen_weights_are_bitwise_unchanged():
    net = model()
    trainer = trainer_of(Unfreeze(BOTH), net=net, optimizer=adamw(net))
    before = weights(trainer)
    ends = []
    trainer.on("after_epoch")(lambda t, state: ends.append(weights(t)))
    trainer.fit(batches(3), epochs=2)
    assert equal(ends[0][:2], before[:2])
    assert not equal(ends[0][2:], before[2:])
    assert not equal(ends[1][:2], before[:2])


def test_training_equals_a_manual_loop():
    trainer, _ = fitted(Unfreeze(BOTH), epochs=2)
    net = model()
    optimizer = sgd(net)
    for epoch in range(2):
        net[0].requires_grad_(epoch == 1)
        for x, y in batches(5):
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert equal(weights(trainer), net.parameters())


def test_parameters_in_no_group_are_trained_from_the_start():
    trainer = trainer_of(Unfreeze(["2.weight", "0.weight"]))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=2)
    assert recorded == [["0.bias", *HEAD], ALL]


def test_empty_name_selects_the_remaining_parameters():
    trainer = trainer_of(Unfreeze(["2", ""]))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=2)
    assert recorded == [HEAD, ALL]


def test_group_can_have_several_names():
    trainer = trainer_of(Unfreeze([["2.bias", "0.bias"], ["2.weight", "0.weight"]]))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=2)
    assert recorded == [["0.bias", "2.bias"], ALL]


def test_name_matches_whole_components():
    net = nn.Sequential()
    for name in ("body", "body2", "head"):
        net.add_module(name, nn.Linear(3 if net else 5, 3))
    trainer = trainer_of(Unfreeze(["head", "body"]), net=net)
    recorded = record_trained(trainer)
    trainer.fit(batches(1))
    assert recorded == [["body2.weight", "body2.bias", "head.weight", "head.bias"]]


def test_parameter_frozen_before_stays_frozen():
    net = model()
    net[0].bias.requires_grad_(False)
    trainer = trainer_of(Unfreeze(BOTH), net=net)
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=2)
    assert recorded == [HEAD, ["0.weight", *HEAD]]
    assert not net[0].bias.requires_grad


def test_compiled_model_has_the_same_names():
    net = torch.compile(model(), backend="eager")
    trainer = trainer_of(Unfreeze(BOTH), net=net)
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=2)
    assert [len(names) for names in recorded] == [2, 4]


def test_skipped_epochs_unfreeze_their_groups():
    trainer = trainer_of(SkipEpochs(2), Unfreeze(["2.bias", "2.weight", "0"]))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=3)
    assert recorded == [ALL]


def test_epoch_cancelled_at_begin_epoch_delays_nothing():
    trainer = trainer_of()
    raise_at(trainer, "begin_epoch", CancelEpochException)
    trainer.attach(Unfreeze(BOTH))
    recorded = record_trained(trainer)
    trainer.fit(batches(1), epochs=2)
    assert recorded == [ALL]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_lr_divisor_divides_the_rate_of_each_next_group(optimizer):
    net = model()
    optim = optimizer(net)
    rates = {}
    own = {id(p): float(group["lr"]) for group in optim.param_groups for p in group["params"]}
    trainer = trainer_of(Unfreeze(["2", "0.bias"], lr_divisor=2.0), net=net, optimizer=optim)

    @trainer.on("begin_train")
    def look(trainer, state):
        for group in state.optimizer.param_groups:
            rates.update({id(p): float(group["lr"]) for p in group["params"]})

    trainer.fit(batches(1), epochs=2)
    halved = {id(net[0].bias)}
    assert rates == pytest.approx({p: own[p] / (2 if p in halved else 1) for p in own})


def test_an_optimizer_without_a_rate_has_none_to_divide():
    net = model()
    trainer = trainer_of(Unfreeze(BOTH, lr_divisor=2), net=net, optimizer=Rateless(net))
    with pytest.raises(ValueError, match=r"Unfreeze\(lr_divisor=…\): a parameter group .* no 'lr'"):
        trainer.fit(batches(1))
    assert [len(group["params"]) for group in trainer.state.optimizer.param_groups] == [4]


def test_optimizer_groups_are_split_in_order_with_param_names():
    net = model()
    optim = torch.optim.SGD(net.named_parameters(), lr=0.1)
    trainer = trainer_of(Unfreeze(["2.bias", "2.weight"], lr_divisor=10), net=net, optimizer=optim)
    recorded = []
    trainer.on("begin_epoch")(
        lambda t, state: recorded.extend(
            (group["param_names"], group["lr"], len(group["params"]))
            for group in state.optimizer.param_groups
        )
    )
    trainer.fit(batches(1))
    assert recorded == [
        (["2.bias"], 0.1, 1),
        (["2.weight"], 0.01, 1),
        (["0.weight", "0.bias"], 0.1, 2),
    ]
    assert optim.param_groups[0]["param_names"] == ALL


def test_training_with_lr_divisor_equals_manual_groups():
    net = model()
    trainer = trainer_of(Unfreeze(BOTH, lr_divisor=2.6), net=net, optimizer=adamw(net))
    trainer.fit(batches(3), epochs=3)

    other = model()
    groups = [{"params": other[2].parameters()}, {"params": other[0].parameters(), "lr": 0.1 / 2.6}]
    reference = trainer_of(Unfreeze(BOTH), net=other, optimizer=torch.optim.AdamW(groups, lr=0.1))
    reference.fit(batches(3), epochs=3)
    assert equal(weights(trainer), weights(reference))


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(
    "schedule",
    [lambda: OneCycle(warmup=0.5), lambda: Annealing("lr", linear(1, 0), group=1)],
    ids=["cycle", "annealing"],
)
def test_schedule_sees_the_split_groups_in_any_attachment_order(schedule, last):
    unfreeze = Unfreeze(BOTH, lr_divisor=2)
    handlers = [schedule(), unfreeze] if last else [unfreeze, schedule()]
    trainer = trainer_of(*handlers, net=(net := model()), optimizer=(optim := sgd(net)))
    before = options(optim)
    second = seen(trainer, group=1)
    trainer.fit(batches(4))
    expected = 0.05 if isinstance(schedule(), OneCycle) else 1
    assert max(second) == pytest.approx(expected)
    assert options(optim) == before


@pytest.mark.parametrize("last", [True, False])
def test_weight_decay_exemption_is_kept_in_any_attachment_order(last):
    net = model()
    optim = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.01)
    handlers = [Unfreeze(BOTH, lr_divisor=2), WeightDecayGroups()]
    trainer = trainer_of(*reversed(handlers) if last else handlers, net=net, optimizer=optim)
    recorded = []
    trainer.on("begin_train")(
        lambda t, state: recorded.append(
            {(p.ndim, g["lr"], g["weight_decay"]) for g in optim.param_groups for p in g["params"]}
        )
    )
    for _ in range(2):
        trainer.fit(batches(1))
    assert recorded == [{(2, 0.1, 0.01), (1, 0.1, 0.0), (2, 0.05, 0.01), (1, 0.05, 0.0)}] * 2


@pytest.mark.parametrize("divisor", [1.0, 2.0])
def test_everything_is_restored_and_second_fit_repeats_the_first(divisor):
    net = model()
    optim = sgd(net)
    before, groups, live_groups = options(optim), list(optim.param_groups), optim.param_groups
    trainer = trainer_of(Unfreeze(BOTH, lr_divisor=divisor), net=net, optimizer=optim)
    recorded = record_trained(trainer)
    for _ in range(2):
        trainer.fit(batches(2), batches(2), epochs=2)
        trainer.validate(batches(2))
        assert all(parameter.requires_grad for parameter in net.parameters())
        assert options(optim) == before
        assert optim.param_groups is live_groups
        assert all(ours is theirs for ours, theirs in zip(live_groups, groups, strict=True))
    assert recorded == [HEAD, ALL] * 2


def test_optimizer_state_survives_the_split():
    net = model()
    optim = sgd(net)
    trainer_of(Unfreeze(BOTH, lr_divisor=2), net=net, optimizer=optim).fit(batches(2), epochs=2)
    assert set(optim.state) == set(net.parameters())
    assert len(optim.state_dict()["state"]) == 4


def test_detach_during_fit_restores_everything():
    unfreeze, net = Unfreeze(BOTH, lr_divisor=2), model()
    trainer = trainer_of(unfreeze, net=net, optimizer=(optim := sgd(net)))
    before = options(optim)
    trainer.on("after_batch", once=True)(lambda t, state: t.detach(unfreeze))
    recorded = record_trained(trainer, "begin_batch")
    trainer.fit(batches(2))
    assert recorded == [HEAD, ALL]
    assert options(optim) == before


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=sgd(net), epoch=0)
    unfreeze = Unfreeze(BOTH)
    fit = unfreeze.within_fit(None, state)
    next(fit)
    unfreeze.begin_epoch(None, state)
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    state.epoch = 1
    unfreeze.begin_epoch(None, state)
    assert all(p.requires_grad for p in net.parameters())
    assert next(fit, "ended") == "ended"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("head",), TypeError, "expected a list of names"),
        (([],), TypeError, "expected a list of names"),
        ((3,), TypeError, "expected a list of names"),
        ((["2"], 0), ValueError, r"Unfreeze\(every=0\): allowed: an int, from 1"),
        (
            (["2"], 1.5),
            TypeError,
            r"Unfreeze\(every=1.5\): found a float; allowed: an int, from 1",
        ),
        ((["2"], True), TypeError, r"every=True\): found a bool; allowed: an int, from 1"),
        ((["2"], 1, 0), ValueError, r"Unfreeze\(lr_divisor=0\): allowed: a number above 0"),
    ],
)
def test_invalid_argument_raises(arguments, error, message):
    with pytest.raises(error, match=message):
        Unfreeze(*arguments)


@pytest.mark.parametrize("groups", [["head"], ["2", "2.bias"], ["2", "1"], ["", "2"]])
def test_group_without_parameters_raises_at_attach(groups):
    with pytest.raises(
        AttachError, match=r"no parameter of Sequential is in .*modules are: 0, 1, 2"
    ):
        trainer_of(Unfreeze(groups))


def test_no_device_sync():
    net = model().to("meta")
    trainer = trainer_of(Unfreeze(BOTH, lr_divisor=2), net=net, device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
@early_or_late
def test_any_cancel_restores_everything(signal, scope, early):
    unfreeze = Unfreeze(BOTH, lr_divisor=2)
    trainer = cancelled_fit(unfreeze, signal, scope, early)
    assert options(trainer.state.optimizer) == options(trainer_of().state.optimizer)
    assert all(parameter.requires_grad for parameter in trainer.state.model.parameters())
    assert [len(group["params"]) for group in trainer.state.optimizer.param_groups] == [4]
