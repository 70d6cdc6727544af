"""The rows of one optimizer update, to be put into a chart under a name of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from .chart_error import ChartError
from .phase_paths import Row


@dataclass(frozen=True)
class Update:
    """The rows of one optimizer update, from `forward` to `zero_grad`, in a scope of its own.

    Attributes:
        name: of the scope.
        of: the name of the model and of the optimizer that it trains; None: the only ones.
    """

    name: str
    of: str | None = None

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
            (f"after_cancel_{self.name}", path, f"{path}.cancelled"),
        )


def update(name: str, of: str | None = None) -> Update:
    """One optimizer update as a scope `name`, for `Chart.replace`.

    Args:
        of: the name of its model and of its optimizer, as `Trainer(models=…, optimizers=…)` has it.

    Raises:
        ChartError: `name` is not an identifier.
    """
    if not name.isidentifier():
        raise ChartError(f"update({name!r}): allowed: an identifier, such as generator")
    return Update(name, of)
