"""The rows of one optimizer update, to be put into a chart under a name of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from ...events.utils.argument_checks import check_whole_number
from .chart_error import ChartError
from .phase_paths import Row

_RETRIED_FROM = ("forward", "loss", "scored", "retry")


@dataclass(frozen=True)
class Update:
    """The rows of one optimizer update, from `forward` to `zero_grad`, in a scope of its own.

    Attributes:
        name: of the scope.
        of: the name of the model and of the optimizer that it trains; None: the only ones.
        every: it is made on every n-th batch of a pass.
    """

    name: str
    of: str | None = None
    every: int = 1

    def rows(self, path: str) -> tuple[Row, ...]:
        """The rows inside the scope, which lies at `path`."""
        return (
            ("after_pred", f"{path}.forward", f"{path}.loss"),
            ("after_loss", f"{path}.loss", f"{path}.scored"),
            ("begin_backward", f"{path}.scored", f"{path}.backward.run"),
            ("after_backward", f"{path}.backward", f"{path}.differentiated"),
            ("begin_step", f"{path}.differentiated", f"{path}.step.run"),
            ("after_step", f"{path}.step", f"{path}.zero_grad"),
            ("after_step", f"{path}.step.cancelled", f"{path}.accumulated"),
            ("after_cancel_backward", f"{path}.backward", f"{path}.backward.cancelled"),
            ("after_cancel_step", f"{path}.step", f"{path}.step.cancelled"),
            ("begin_retry", tuple(f"{path}.{at}" for at in _RETRIED_FROM), f"{path}.retry"),
            ("after_pred", f"{path}.retry", f"{path}.loss"),
            ("begin_retry", f"{path}.backward", f"{path}.backward.retried"),
            ("after_backward", f"{path}.backward.retried", f"{path}.retry"),
            (f"after_cancel_{self.name}", path, f"{path}.cancelled"),
        )


def update(name: str, of: str | None = None, every: int = 1) -> Update:
    """One optimizer update as a scope `name`, for `Chart.replace`.

    Args:
        of: the name of its model and of its optimizer, as `Trainer(models=…, optimizers=…)` has it.
        every: 1 for each batch of a pass, 2 for the 2nd, the 4th and so on.

    Raises:
        ChartError: `name` is not an identifier.
        TypeError, ValueError: `every` is not an int, or below 1.
    """
    check_whole_number(f"update({name!r}, every={every!r})", every, least=1)
    if not name.isidentifier():
        raise ChartError(f"update({name!r}): allowed: an identifier, such as generator")
    return Update(name, of, every)
