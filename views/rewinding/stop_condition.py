"""The condition of `--until`: `nan`, or `NAME OP NUMBER`; parsed, never evaluated as Python."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...events import TrainState
from ...events.state_parts import check_part, part_of
from ...events.utils.similar_names import did_you_mean
from ..output.usage_error import UsageError

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_GRAMMAR = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")
_ALLOWED = 'allowed: nan, or NAME OP NUMBER, such as "loss > 5", with one of < <= == != >= >'


@dataclass(frozen=True)
class StopCondition:
    """Compares one number of the state; `nan` is true of a loss that is not finite."""

    text: str
    name: str
    is_met: Callable[[float], bool]

    @classmethod
    def parse(cls, text: str) -> StopCondition:
        """Parse a condition.

        Raises:
            UsageError: it is neither `nan` nor `NAME OP NUMBER`.
        """
        if text.strip().lower() == "nan":
            return cls(text, "loss", lambda value: not math.isfinite(value))
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise UsageError(f"cannot read the condition {text!r}; {_ALLOWED}")
        name, symbol, number = match.groups()
        try:
            limit = float(number)
        except ValueError:
            raise UsageError(f"{text!r}: {number!r} is not a number; {_ALLOWED}") from None
        return cls(text, name, lambda value: _OPERATORS[symbol](value, limit))

    def check(self, state: TrainState) -> None:
        """Refuse a name that the state does not have.

        Raises:
            UsageError: names the nearest field.
        """
        try:
            check_part(self.name, state, f"the condition {self.text!r}")
        except ValueError as error:
            raise UsageError(str(error)) from None

    def holds(self, state: TrainState) -> bool:
        """Whether it is true now; False while there is no such value.

        Raises:
            UsageError: the value is not one number.
        """
        value = part_of(state, self.name)
        if isinstance(value, list) and len(value) == 1:  # an option of the only parameter group
            value = value[0]
        return value is not None and self.is_met(self._number(value))

    def _number(self, value: Any) -> float:
        try:
            return float(value.detach() if hasattr(value, "detach") else value)
        except (TypeError, ValueError, RuntimeError):
            kind = f"a {type(value).__name__}"
            hint = did_you_mean(self.name, ("loss", "step", "epoch", "optimizer.lr"))
            raise UsageError(
                f"the condition {self.text!r}: {self.name} is {kind}, not one number{hint}"
            ) from None
