"""The same small fit with other libraries; each function returns the names of the hooks called.

Two epochs, each of two training batches and one of a validation. A library is imported when its
function is called.
"""

import importlib.util
import sys
from pathlib import Path

import torch
from torch import nn


def batches(count):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(4, 2, generator=generator), torch.randn(4, 1, generator=generator))
        for _ in range(count)
    ]


def noting(base, called, suffix=""):
    """A subclass whose methods note their names, for all hooks of the base class."""

    def noted(name):
        def hook(self, *args, **kwargs):
            called.append(name + suffix)

        return hook

    hooks = [n for n in dir(base) if n.startswith(("on_", "before_", "after_"))]
    return type("Noting", (base,), {name: noted(name) for name in hooks})


def ignite():
    from ignite.engine import Engine, Events

    called = []
    trainer, evaluator = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    for engine, suffix in ((trainer, ""), (evaluator, " of the evaluator")):
        for event in Events:
            engine.add_event_handler(event, lambda _, name=event.name + suffix: called.append(name))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: evaluator.run(batches(1)))
    trainer.run(batches(2), max_epochs=2)
    return called


def lightning():
    from lightning.pytorch import Callback, LightningModule, Trainer

    called = []

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def training_step(self, batch):
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def validation_step(self, batch):
            return self.training_step(batch)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[noting(Callback, called)()],
    )
    loaders = (torch.utils.data.DataLoader(batches(n), batch_size=None) for n in (2, 1))
    trainer.fit(Module(), *loaders)
    return called


def keras():
    import keras

    called = []
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer="sgd")
    x, y = (torch.cat(part) for part in zip(*batches(2), strict=True))
    model.fit(
        x,
        y,
        batch_size=4,
        epochs=2,
        verbose=0,
        validation_data=batches(1)[0],
        callbacks=[noting(keras.callbacks.Callback, called)()],
    )
    return called


def fastai():
    from fastai.callback.core import Callback, TrainEvalCallback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    called = []

    class Loader(list):
        n_inp, device = 1, None

        def to(self, device):
            return self

    scopes = ("fit", "epoch", "train", "validate", "batch", "step", "backward")
    names = [f"{when}_{scope}" for scope in scopes for when in ("before", "after")]
    names += ["after_pred", "after_loss"]
    members = {name: (lambda self, name=name: called.append(name)) for name in names}
    learner = Learner(
        DataLoaders(Loader(batches(2)), Loader(batches(1))),
        nn.Linear(2, 1),
        nn.MSELoss(),
        opt_func=lambda params, **_: OptimWrapper(params, torch.optim.SGD),
        lr=0.1,
        cbs=[type("Noting", (Callback,), members)()],
    )
    learner.remove_cbs([cb for cb in learner.cbs if cb.name in ("progress", "recorder")])
    assert any(isinstance(cb, TrainEvalCallback) for cb in learner.cbs)
    learner.fit(2)
    return called


def transformers():
    from transformers import Trainer, TrainerCallback, TrainingArguments

    called = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def forward(self, x, labels):
            pred = self.net(x)
            return {"loss": nn.functional.mse_loss(pred, labels), "logits": pred}

    def rows(count):
        x, y = (torch.cat(part) for part in zip(*batches(count), strict=True))
        return [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]

    arguments = TrainingArguments(
        "out",
        num_train_epochs=2,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(
        Model(),
        arguments,
        train_dataset=rows(2),
        eval_dataset=rows(1),
        callbacks=[noting(TrainerCallback, called)()],
    )
    trainer.train()
    return called


def composer():
    if importlib.util.find_spec("torchvision") is None:
        sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
        from peers._torchvision import stand_in

        stand_in()
    from composer import Callback, ComposerModel, Event, Trainer

    called = []

    class Model(ComposerModel):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def forward(self, batch):
            return self.net(batch[0])

        def eval_forward(self, batch, outputs=None):
            return self.net(batch[0])

        def loss(self, outputs, batch):
            return nn.functional.mse_loss(outputs, batch[1])

    class Noting(Callback):
        def run_event(self, event: Event, state, logger):
            called.append(event.name)

    def loader(count):
        rows = [row for x, y in batches(count) for row in zip(x, y, strict=True)]
        return torch.utils.data.DataLoader(rows, 4)

    model = Model()
    Trainer(
        model=model,
        train_dataloader=loader(2),
        eval_dataloader=loader(1),
        optimizers=torch.optim.SGD(model.parameters(), 0.1),
        max_duration="2ep",
        device="cpu",
        device_train_microbatch_size=4,
        auto_log_hparams=False,
        progress_bar=False,
        callbacks=[Noting()],
    ).fit()
    return called
