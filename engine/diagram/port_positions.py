"""The heights at which arrows touch the sides of boxes: labels and counts never meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .box_tree import Box
from .edges import UNSET, Pin, Wire

MARGIN = 3.0
ROUNDING = 1e-6


def stretch(wires: Sequence[Wire]) -> None:
    """Make each box as tall as the arrows at its sides need."""
    for pins in _by_side(wires):
        room = 2 * MARGIN + sum(pin.up + pin.down for pin in pins)
        if len(pins) > 1:  # beside each that is held in place, room for another may be left over
            held = sum(pin.fixed is not None for pin in pins)
            room += held * max(pin.up + pin.down for pin in pins)
        pins[0].box.height = max(pins[0].box.height, room)


def set_heights(wires: Sequence[Wire]) -> None:
    """Give every pin its height, near to where its arrow would be shortest."""
    for wire in wires:
        for pin in wire.pins:
            pin.y = UNSET if pin.fixed is None else pin.box.y + pin.fixed
    sides = list(_by_side(wires))
    beside = {pin: pins for pins in sides for pin in pins}
    for wire in filter(may_be_straight, wires):
        _level(wire.pins, beside)
    wishes = {pin: _wish(pin, wire) for wire in wires for pin in wire.pins}
    for pins in sides:
        _spread(pins, wishes)


def may_be_straight(wire: Wire) -> bool:
    """Whether an arrow may be one straight line across a channel."""
    return wire.route == "trunk" and len(wire.pins) == 2 and wire.pins[0].side != wire.pins[1].side


def _by_side(wires: Sequence[Wire]) -> Iterator[list[Pin]]:
    sides: dict[tuple[Box, str], list[Pin]] = {}
    for wire in wires:
        for pin in wire.pins:
            sides.setdefault((pin.box, pin.side), []).append(pin)
    yield from sides.values()


def _level(pins: tuple[Pin, ...], beside: dict[Pin, list[Pin]]) -> None:
    """Both at the same height, if all others still find a place then."""
    low = max(pin.box.y + MARGIN + pin.up for pin in pins)
    high = min(pin.box.bottom - MARGIN - pin.down for pin in pins)
    held = [pin.y for pin in pins if pin.y != UNSET]
    smaller = min((pin.box for pin in pins), key=lambda box: box.height)
    y = held[0] if held else min(max(smaller.y + smaller.height / 2, low), high)
    if len(held) == 2 or not low - ROUNDING <= y <= high + ROUNDING:
        return
    free = [pin for pin in pins if pin.y == UNSET]
    clear = all(_clears(pin, y, _taken(beside[pin])) for pin in free)
    for pin in free if clear else ():
        pin.y = y
    if not all(_latest(beside[pin]) is not None for pin in free):
        for pin in free:
            pin.y = UNSET


def _taken(pins: list[Pin]) -> list[tuple[float, float]]:
    return [(pin.y - pin.up, pin.y + pin.down) for pin in pins if pin.y != UNSET]


def _clears(pin: Pin, y: float, taken: list[tuple[float, float]]) -> bool:
    top, bottom = y - pin.up + ROUNDING, y + pin.down - ROUNDING
    return all(bottom <= low or top >= high for low, high in taken)


def _latest(pins: list[Pin]) -> dict[Pin, float] | None:
    """For each that is free the lowest place that leaves room for those after it, if there is."""
    taken = _taken(pins)
    latest = {}
    floor = pins[0].box.bottom - MARGIN
    for pin in reversed([pin for pin in pins if pin.y == UNSET]):
        places = [floor - pin.down, *(low - pin.down for low, _ in taken)]
        fitting = [y for y in places if y <= floor - pin.down and _clears(pin, y, taken)]
        latest[pin] = max(fitting, default=UNSET)
        floor = latest[pin] - pin.up
    return latest if floor >= pins[0].box.y + MARGIN - ROUNDING else None


def _spread(pins: list[Pin], wishes: dict[Pin, float]) -> None:
    """From top to bottom in the order of their wishes, each as near to its own as can be."""
    pins = sorted(pins, key=lambda pin: (pin.leaving, wishes[pin]))
    taken = _taken(pins)
    latest = _latest(pins)
    assert latest is not None, "stretch made room for all"
    ceiling = pins[0].box.y + MARGIN
    for pin in pins:
        if pin.y == UNSET:
            low, high = ceiling + pin.up, latest[pin]
            wish = min(max(wishes[pin], low), high)
            places = [wish, high, low, *(y for t, b in taken for y in (t - pin.down, b + pin.up))]
            fitting = [y for y in places if low <= y <= high and _clears(pin, y, taken)]
            pin.y = min(fitting, key=lambda y: abs(y - wish))
            ceiling = pin.y + pin.down


def _wish(pin: Pin, wire: Wire) -> float:
    """A leaf has its arrows in the middle, a composite where the other end is, or at its top."""
    if not pin.box.children:
        return pin.box.y + (pin.box.height + pin.up - pin.down) / 2
    if wire.route in ("around", "over"):
        return pin.box.bottom - 20
    other = wire.pins[-1].box
    return pin.box.y + 20 if pin is wire.pins[-1] else other.y + other.height / 2
