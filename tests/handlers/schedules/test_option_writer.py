import itertools

import pytest
import torch
from helpers import batches, equal, model, trainer_of, weights
from optimizers import Rateless, in_groups, sgd
from pairs import trainer_of_two
from torch import nn
from torch.optim.lr_scheduler import StepLR

from trackside import Trainer
from trackside import handlers as h
from trackside.events import AttachError
from trackside.handlers.schedules.annealing import linear

MAKE = {
    "Annealing": lambda **of: h.Annealing("lr", linear(0.1, 0.0), **of),
    "CosineWarmup": h.CosineWarmup,
    "FlatCosine": h.FlatCosine,
    "LRSchedule": lambda **of: h.LRSchedule(lambda o: StepLR(o, 2), **of),
    "OneCycle": lambda **of: h.OneCycle(0.1, **of),
    "ReduceOnPlateau": lambda **of: h.ReduceOnPlateau("train_loss", **of),
}
PAIRS = [*itertools.product(MAKE, MAKE)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_second_schedule_of_one_optimizer_is_refused_when_it_is_attached(first, second):
    trainer = trainer_of(MAKE[first]())
    with pytest.raises(AttachError, match=f"{second} and {first}, which .* both write lr of the"):
        trainer.attach(MAKE[second]())
    assert len(trainer.handlers) == 1


@pytest.mark.parametrize("name", MAKE)
def test_an_optimizer_without_a_rate_is_refused(name):
    net = model()
    trainer = trainer_of(net=net, optimizer=Rateless(net))
    with pytest.raises(
        AttachError, match=f"{name} writes the learning rate, .* has no 'lr'; .*are size"
    ):
        trainer.attach(MAKE[name]())


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_schedule_takes_the_place_of_one_that_was_detached(first, second):
    replaced = MAKE[first]()
    trainer = trainer_of(h.Metrics(), replaced)
    trainer.detach(replaced)
    trainer.attach(MAKE[second]())
    trainer.fit(batches(3), epochs=2)
    expected = trainer_of(h.Metrics(), MAKE[second]())
    expected.fit(batches(3), epochs=2)
    assert equal(weights(trainer), weights(expected))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_optimizers_have_a_schedule_each(first, second):
    trainer = trainer_of_two(MAKE[first](of="a"), MAKE[second](of="b"))
    with pytest.raises(AttachError, match=r"both write lr of the optimizer 'b'"):
        trainer.attach(MAKE[second](of="b"))


def test_one_optimizer_is_the_same_with_and_without_its_name():
    net = model()
    optimizers = {"g": sgd(net)}
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizers=optimizers)
    trainer.attach(h.OneCycle(0.1, of="g"))
    with pytest.raises(AttachError, match="CosineWarmup and OneCycle"):
        trainer.attach(h.CosineWarmup())


def annealed(option, group=None):
    return h.Annealing(option, linear(0.1, 0.0), group)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (annealed("lr", 0), annealed("lr", 0)),
        (annealed("lr"), annealed("lr", 1)),
        (annealed("lr", 1), annealed("lr")),
        (annealed("lr", 1), h.CosineWarmup()),
        (h.OneCycle(0.1), annealed("betas")),
    ],
)
def test_one_option_of_one_group_has_one_writer(first, second):
    trainer = trainer_of(first, optimizer=in_groups(model()))
    with pytest.raises(AttachError, match="both write"):
        trainer.attach(second)


@pytest.mark.parametrize(
    "handlers",
    [
        [annealed("lr", 0), annealed("lr", 1)],
        [annealed("lr"), annealed("weight_decay")],
        [h.CosineWarmup(), annealed("weight_decay")],
        [h.OneCycle(0.1, momentum=None), annealed("eps")],
        [h.Unfreeze(["2", "0"], lr_divisor=2.0), h.OneCycle(0.1)],
        [h.Unfreeze(["2", "0"]), h.WeightDecayGroups(), h.CosineWarmup()],
    ],
)
def test_handlers_that_write_different_options_or_the_groups_go_together(handlers):
    net = model()
    optimizer = torch.optim.AdamW([{"params": [p]} for p in net.parameters()])
    trainer = trainer_of(*handlers, net=net, optimizer=optimizer)
    assert trainer.fit(batches(3), epochs=2).outcome == "completed"
