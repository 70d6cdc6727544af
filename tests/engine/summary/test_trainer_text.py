"""The repr of a trainer, and the help on it."""

import pydoc

import torch
from helpers import batches, model, trainer_of
from torch import nn

from trackside import EMA, History, Metrics, Trainer
from trackside.engine import SUPERVISED, update


def test_a_trainer_says_its_parts_and_where_it_is():
    trainer = trainer_of(name="x")
    assert repr(trainer) == (
        "<Trainer idle:\n"
        "    model=Sequential\n"
        "    loss_fn=CrossEntropyLoss\n"
        "    optimizer=SGD(lr=0.1)\n"
        "    handlers=[]\n"
        ">"
    )
    assert repr(Trainer(nn.Linear(1, 1))) == "<Trainer idle: model=Linear, handlers=[]>"


def test_a_trainer_says_the_epoch_from_the_first_on():
    trainer, shown = trainer_of(), []
    trainer.on("begin_epoch")(lambda trainer, state: shown.append(repr(trainer).splitlines()[0]))
    trainer.fit(batches(3), epochs=2)
    assert shown == [
        "<Trainer fit.epoch.ready, epoch 1 of 2, step 0:",
        "<Trainer fit.epoch.ready, epoch 2 of 2, step 3:",
    ]


def test_handlers_are_shown_by_their_repr_or_their_name():
    class Plain:
        def after_fit(self, trainer, state):
            pass

    def on_loss(trainer, state):
        pass

    trainer = trainer_of(EMA(0.9), History(), Metrics(), Plain())
    trainer.on("after_loss")(on_loss)
    trainer.fit(batches(3), epochs=2)
    name = "test_handlers_are_shown_by_their_repr_or_their_name.<locals>."
    assert repr(trainer).splitlines()[0] == "<Trainer completed, epoch 2 of 2, step 6:"
    shown = [line.strip(" ,") for line in repr(trainer).splitlines()[5:-2]]
    assert shown[0] == "EMA(decay=0.9)"
    assert shown[1].startswith("History(2 epochs, train_loss=")
    assert shown[2:] == ["Metrics()", f"{name}Plain", f"{name}on_loss"]


def test_several_models_and_another_chart_are_named():
    nets = {"g": model(0), "d": model(1)}
    optimizers = {name: torch.optim.Adam(net.parameters()) for name, net in nets.items()}
    chart = SUPERVISED.replace("train.batch", update("d", of="d"), update("g", of="g"))
    trainer = Trainer(models=nets, optimizers=optimizers, loss_fn=lambda p, y: p, chart=chart)
    assert "    model={g: Sequential, d: Sequential}\n" in repr(trainer)
    assert "    optimizer={g: Adam(lr=0.001), d: Adam(lr=0.001)}\n" in repr(trainer)
    assert f"    chart=<Chart of fit: {len(chart)} rows>\n" in repr(trainer)


def test_a_rate_that_is_a_tensor_is_not_read():
    net = model()
    rate = torch.tensor(0.1)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate, capturable=False, foreach=False)
    assert "optimizer=Adam()" in repr(trainer_of(net=net, optimizer=optimizer))


def test_the_help_on_trainer_has_no_chart_in_its_signature():
    text = pydoc.render_doc(Trainer, renderer=pydoc.plaintext)
    signature = text[: text.index("->")]  # on several lines from Python 3.13 on
    assert f"chart: 'Sequence[Row]' = <Chart of fit: {len(SUPERVISED)} rows>," in signature
    assert "begin_epoch" not in signature
