"""The heights at which arrows touch the sides of boxes: labels and counts never meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .boxes import Box
from .wires import UNSET, Pin, Wire

MARGIN = 3.0
Spans = list[tuple[float, float]]


def _by_side(wires: Sequence[Wire]) -> Iterator[list[Pin]]:
    sides: dict[tuple[Box, str], list[Pin]] = {}
    for wire in wires:
        for pin in wire.pins:
            sides.setdefault((pin.box, pin.side), []).append(pin)
    yield from sides.values()


def stretch(wires: Sequence[Wire]) -> None:
    """Make each box as tall as the arrows at its sides need."""
    level = {pin for wire in wires if _faces(wire) for pin in wire.pins}
    for pins in _by_side(wires):
        held = [pin for pin in pins if pin.fixed is not None or pin in level]
        room = 2 * MARGIN + sum(pin.up + pin.down for pin in pins)
        if len(pins) > 1:  # beside each that is held, room for another one may be left over
            room += len(held) * max(pin.up + pin.down for pin in pins)
        pins[0].box.height = max(pins[0].box.height, room)


def set_heights(wires: Sequence[Wire]) -> None:
    """Give every pin its height, near to where its arrow would be shortest."""
    for wire in wires:
        for pin in wire.pins:
            pin.y = UNSET if pin.fixed is None else pin.box.y + pin.fixed
    sides = list(_by_side(wires))
    beside = {pin: pins for pins in sides for pin in pins}
    for wire in filter(_faces, wires):
        _level(wire.pins, beside)
    wishes = {pin: _wish(pin, wire) for wire in wires for pin in wire.pins}
    for pins in sides:
        _spread(pins, wishes)


def _faces(wire: Wire) -> bool:
    """Whether an arrow may be one straight line across a channel."""
    return wire.route == "trunk" and len(wire.pins) == 2 and wire.pins[0].side != wire.pins[1].side


def _level(pins: tuple[Pin, ...], beside: dict[Pin, list[Pin]]) -> None:
    """Both at the same height, if there is one that is free at both."""
    low = max(pin.box.y + MARGIN + pin.up for pin in pins)
    high = min(pin.box.bottom - MARGIN - pin.down for pin in pins)
    held = [pin.y for pin in pins if pin.y != UNSET]
    smaller = min((pin.box for pin in pins), key=lambda box: box.height)
    y = held[0] if held else min(max(smaller.y + smaller.height / 2, low), high)
    if len(held) < 2 and low <= y <= high:
        free = [pin for pin in pins if pin.y == UNSET]
        if all(_clears(pin, y, _taken(beside[pin])) for pin in free):
            for pin in free:
                pin.y = y


def _taken(pins: list[Pin]) -> Spans:
    return [(pin.y - pin.up, pin.y + pin.down) for pin in pins if pin.y != UNSET]


def _clears(pin: Pin, y: float, taken: Spans) -> bool:
    top, bottom = y - pin.up + 1e-6, y + pin.down - 1e-6
    return all(bottom <= low or top >= high for low, high in taken)


def _spread(pins: list[Pin], wishes: dict[Pin, float]) -> None:
    """From top to bottom in the order of their wishes, each as near to its own as can be."""
    taken = _taken(pins)
    free = sorted((pin for pin in pins if pin.y == UNSET), key=lambda pin: wishes[pin])
    latest = {}
    floor = pins[0].box.bottom - MARGIN
    for pin in reversed(free):
        places = [floor - pin.down, *(low - pin.down for low, _ in taken)]
        latest[pin] = max(y for y in places if y <= floor - pin.down and _clears(pin, y, taken))
        floor = latest[pin] - pin.up
    ceiling = pins[0].box.y + MARGIN
    for pin in free:
        wish = min(max(wishes[pin], ceiling + pin.up), latest[pin])
        places = [wish, latest[pin], ceiling + pin.up]
        places += [y for low, high in taken for y in (low - pin.down, high + pin.up)]
        fitting = [y for y in places if ceiling + pin.up <= y <= latest[pin] + 1e-6]
        pin.y = min((y for y in fitting if _clears(pin, y, taken)), key=lambda y: abs(y - wish))
        ceiling = pin.y + pin.down


def _wish(pin: Pin, wire: Wire) -> float:
    """A leaf has its arrows in the middle, a composite where the other end is, or at its top."""
    if not pin.box.children:
        return pin.box.y + pin.box.height / 2 + (pin.up - pin.down) / 2
    if wire.route in ("around", "over"):
        return pin.box.bottom - 20
    other = wire.pins[-1].box
    return pin.box.y + 20 if pin is wire.pins[-1] else other.y + other.height / 2
