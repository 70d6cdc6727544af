"""Format durations and relative changes."""

from __future__ import annotations

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def format_duration(seconds: float) -> str:
    """Three digits and a unit: `12.3 ms`; from two minutes on `3 min 20 s`, `2 h 3 min`."""
    if seconds == 0:
        return "0"
    if abs(seconds) >= 7200:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    if abs(seconds) >= 120:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    size, unit = next((u for u in _UNITS if abs(seconds) >= 0.9995 * u[0]), _UNITS[-1])
    return f"{_three_digits(seconds / size)} {unit}"


def format_change(before: float, after: float) -> str:
    """The relative change: `+12 %`; `new` or `gone` if one value is 0; empty if both are."""
    if not before:
        return "new" if after else ""
    if not after:
        return "gone"
    return f"{100 * (after / before - 1):+.0f} %"


def _three_digits(number: float) -> str:
    size = abs(number)
    return f"{number:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"
