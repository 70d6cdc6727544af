"""Encode tensors as small PNG images, by Pillow."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch.nn import functional

_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
MOST_PIXELS = 4096
"""The longest edge of an image that is shown."""
_LEAST_EDGE = 4
"""A tensor of a shorter edge is not taken for an image."""
_GOLDEN = 0.618034
"""Hues that are this fraction of the circle apart are never close to each other."""


class ImageScale(NamedTuple):
    """How the values of an image are to be read, and how large it may be."""

    mean: Sequence[float] | None
    """What was subtracted from each channel; None: nothing."""
    std: Sequence[float] | None
    """What each channel was divided by; None: nothing."""
    size: int
    """The longest edge in pixels; larger images are shrunk."""


def require_pillow(by: str) -> Any:
    """The module `PIL.Image`.

    Raises:
        ImportError: Pillow is not installed; the message names the extra.
    """
    try:
        from PIL import Image  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ImportError(
            f"{by} needs Pillow: pip install 'trackside[pictures]'; or as_=\"text\""
        ) from error
    return Image


def check_channels(tried: str, values: Any) -> None:
    """Refuse what is not a number for each channel of an image; None is none.

    Raises:
        TypeError, ValueError: what was tried, and what is allowed.
    """
    allowed = "allowed: a number for each of 1, 3 or 4 channels, None"
    if values is None:
        return
    if not isinstance(values, (Sequence, torch.Tensor)) or isinstance(values, str):
        raise TypeError(f"{tried}: {allowed}")
    if len(values) not in _CHANNELS:
        raise ValueError(f"{tried} has {len(values)} numbers; {allowed}")


def has_pillow() -> bool:
    """Whether Pillow is installed."""
    return find_spec("PIL") is not None


def looks_like_image(value: Any) -> bool:
    """Whether it is a tensor or array `(C, H, W)` of 1, 3 or 4 channels."""
    shape = tuple(getattr(value, "shape", ()))
    return len(shape) == 3 and shape[0] in _CHANNELS and min(shape[1:]) >= _LEAST_EDGE


def encode_image(value: Any, scale: ImageScale) -> bytes:
    """A tensor `(C, H, W)` of 1, 3 or 4 channels, or `(H, W)`, as a PNG.

    Integers other than uint8 are numbers of classes, each shown in a colour of its own.
    """
    pixels = torch.as_tensor(value).detach().cpu()
    if pixels.dim() == 2:
        pixels = pixels[None]
    is_map = not pixels.dtype.is_floating_point and pixels.dtype not in (torch.uint8, torch.bool)
    pixels = _shrunk(pixels, scale.size, is_map)
    pixels = _coloured(pixels[0]) if is_map else _as_bytes(pixels, scale)
    image = require_pillow("an image").frombytes(
        _CHANNELS[len(pixels)],
        (pixels.shape[2], pixels.shape[1]),
        bytes(pixels.permute(1, 2, 0).flatten().tolist()),
    )
    return _as_png(image)


def encode_pillow(image: Any, size: int) -> bytes:
    """An image of Pillow as a PNG, with a longest edge of at most `size` pixels."""
    if image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    if max(image.size) > size:
        image = image.copy()
        image.thumbnail((size, size))
    return _as_png(image)


def _as_png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _shrunk(pixels: torch.Tensor, size: int, is_map: bool) -> torch.Tensor:
    longest = max(pixels.shape[1:])
    if longest <= size:
        return pixels
    shape = [max(1, round(edge * size / longest)) for edge in pixels.shape[1:]]
    if is_map:
        return functional.interpolate(pixels[None].double(), shape, mode="nearest")[0].long()
    small = functional.interpolate(pixels[None].float(), shape, mode="bilinear", antialias=True)[0]
    return small.to(pixels.dtype) if pixels.dtype == torch.uint8 else small


def _as_bytes(pixels: torch.Tensor, scale: ImageScale) -> torch.Tensor:
    """Values as uint8; floats outside of 0 to 1 are stretched if nobody says how to read them."""
    if pixels.dtype == torch.uint8:
        return pixels
    values = pixels.float()
    if scale.std is not None:
        values = values * torch.tensor(scale.std).reshape(-1, 1, 1)
    if scale.mean is not None:
        values = values + torch.tensor(scale.mean).reshape(-1, 1, 1)
    finite = values[values.isfinite()]
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    values = torch.nan_to_num(values, nan=least, posinf=most, neginf=least)
    if scale.mean is None and scale.std is None and (least < 0 or most > 1):
        values = (values - least) / max(most - least, 1e-12)
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)


def _coloured(classes: torch.Tensor) -> torch.Tensor:
    """Numbers of classes `(H, W)` as colours `(3, H, W)`; 0 and numbers below it are black."""
    found, places = torch.unique(classes, return_inverse=True)
    colours = torch.tensor([_colour(number) for number in found.tolist()], dtype=torch.uint8)
    return colours[places].permute(2, 0, 1)


def _colour(number: int) -> list[int]:
    parts = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.65, 0.95 if number > 0 else 0)
    return [round(255 * part) for part in parts]
