"""The optional base of a handler: its repr."""

from __future__ import annotations

from typing import ClassVar

from .utils.constructor_call import constructor_call


class Handler:
    """An optional base of handlers, whose repr is the call that makes such a handler.

    Any object whose methods are named like signals is a handler.
    """

    option_parts: ClassVar[tuple[str, ...]] = ()
    """Names of attributes whose own attributes are arguments of the constructor, too."""

    def __repr__(self) -> str:
        return constructor_call(self, self.option_parts)
