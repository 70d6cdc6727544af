"""Lightning: its Trainer with everything off, then with a bar, logged metrics and clipping."""

from typing import Any

from job import Job, right
from lightning.pytorch import Callback, LightningModule, Trainer

REQUIRES = ("lightning==2.6.6",)
OFF = {
    "max_epochs": 1,
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "barebones": False,
}


class Module(LightningModule):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job, self.model = job, job.model

    def training_step(self, batch: Any, index: int) -> Any:
        xb, yb = batch
        return self.job.loss_fn(self.model(xb), yb)

    def configure_optimizers(self) -> Any:
        return self.job.optimizer


class Equipped(Module):
    def training_step(self, batch: Any, index: int) -> Any:
        xb, yb = batch
        pred = self.model(xb)
        loss = self.job.loss_fn(pred, yb)
        accuracy = right(pred, yb) / len(yb)
        shown = {"loss": loss.detach(), "accuracy": accuracy}
        self.log_dict(shown, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(yb))
        return loss

    def configure_optimizers(self) -> Any:
        schedule = {"scheduler": self.job.schedule(self.job.optimizer), "interval": "step"}
        return {"optimizer": self.job.optimizer, "lr_scheduler": schedule}


class Callbacks(Callback):
    def __init__(self, job: Job) -> None:
        self.job = job

    def on_train_batch_start(self, *args: Any) -> None:
        self.job.begin_batch()

    def on_train_batch_end(self, *args: Any) -> None:
        self.job.end_batch()


def bare(job: Job) -> None:
    Trainer(enable_progress_bar=False, **OFF).fit(Module(job), job.batches)


def equipped(job: Job) -> None:
    trainer = Trainer(callbacks=[Callbacks(job)], gradient_clip_val=job.max_norm, **OFF)
    trainer.fit(Equipped(job), job.batches)
