"""Test learning rates before a fit, `--lr-find`."""

from __future__ import annotations

from pathlib import Path

from ...events.utils.exception_text import first_message_line
from ...handlers import LRFinder, MixedPrecision
from ..jobs.job import Job
from ..output.usage_error import UsageError


def find_rate(job: Job, out: Path | None) -> None:
    """Train some steps with a growing learning rate, print what it suggests, restore everything.

    Args:
        out: the folder for the picture, `lr_find.png`, drawn if matplotlib is installed.

    Raises:
        UsageError: the rates of this job cannot be tested, or the loss never fell.
    """
    if job.train_loader is None:
        raise UsageError("--lr-find: the job has no train_loader, so there is nothing to test with")
    precision = [h for h in job.trainer.handlers if isinstance(h, MixedPrecision)]
    try:
        again = [MixedPrecision(handler.dtype) for handler in precision]
        curve = LRFinder().find(job.trainer, job.train_loader, again)
        rates = curve.valley, curve.steepest
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"--lr-find: {first_message_line(error)}") from None
    print(
        f"tested {len(curve.rates)} learning rates, {curve.rates[0]:.1e} to {curve.rates[-1]:.1e}"
    )
    print(f"suggested: {rates[0]:.2g} (valley), {rates[1]:.2g} (steepest descent)")
    if out is not None:
        curve.plot(out / "lr_find.png")
        print(f"wrote {out / 'lr_find.png'}")
