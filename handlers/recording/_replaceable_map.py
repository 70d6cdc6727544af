"""Map a file into memory, so that neither forks nor a cut of the file can do harm."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import signal
import weakref
from typing import Any

_MAP_FIXED = 0x10
"""On Linux, macOS and the BSDs; the module `mmap` has no name for it."""

_FAILED = ctypes.c_void_p(-1).value


class ReplaceableMap(mmap.mmap):
    """The mapping of a whole file, which memory of this process takes the place of.

    In each forked process: it may go on with a fit, or close its scopes, and its records must not
    be mixed with those of its parent. And when another program cuts the file: the next access would
    end this process with the signal SIGBUS. That signal is handled from each mapping on, also if
    another handler was installed since the one before; if no file was cut, what handled the signal
    before does so again.

    Attributes:
        is_cut: the file was cut, and is not written any more.
    """

    is_cut = False

    def __init__(self, file: int, size: int) -> None:
        _maps.add(self)
        if hasattr(os, "register_at_fork"):  # elsewhere a mapped file is neither forked nor cut
            _watch_forks()
            _watch_cuts()

    def replace(self) -> None:
        """Put empty memory in place of the file, at the same address.

        Raises:
            OSError: the system refuses.
        """
        address = ctypes.addressof(ctypes.c_char.from_buffer(self))
        access = mmap.PROT_READ | mmap.PROT_WRITE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        if _library().mmap(address, len(self), access, flags, -1, 0) == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, f"no memory in place of a recording: {os.strerror(number)}")


_maps: weakref.WeakSet[ReplaceableMap] = weakref.WeakSet()


@functools.cache
def _library() -> Any:
    """The C library, whose functions are called without releasing the interpreter lock."""
    library = ctypes.PyDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    where: list[Any] = [ctypes.c_void_p, ctypes.c_size_t]
    library.mmap.argtypes = [*where, *[ctypes.c_int] * 3, ctypes.c_longlong]
    library.signal.restype = ctypes.c_void_p
    library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    return library


@functools.cache
def _watch_forks() -> None:
    """Once for this process, and its forks."""
    _library()  # loaded here, because a forked process should only call it

    def replace_all() -> None:
        for mapped in [*_maps]:
            mapped.replace()

    os.register_at_fork(after_in_child=replace_all)


def _watch_cuts() -> None:
    """Handle SIGBUS, unless this process does."""
    ours = _cut_handler()
    before = _library().signal(signal.SIGBUS, ours)
    if before != ours.value:
        _handlers_before.append(before)


@functools.cache
def _cut_handler() -> ctypes.c_void_p:
    """The address of what handles SIGBUS.

    `signal.signal` cannot do this: its handlers run after the instruction that failed, which never
    ends. A write to a mapping fails at a place where Python code may run, as in any `__setitem__`.
    """

    def on_bus_error(number: int) -> None:
        whole = [mapped for mapped in [*_maps] if not mapped.is_cut]
        if not whole:
            # the newest first, each once: it may call the one before it, which may be this one
            _library().signal(number, _handlers_before.pop() if _handlers_before else _DEFAULT)
        # a file that was cut may have been filled again meanwhile: then none is short
        for mapped in [each for each in whole if each.size() < len(each)] or whole:
            mapped.replace()
            mapped.is_cut = True

    callback = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_bus_error)
    _kept.append(callback)
    return ctypes.cast(callback, ctypes.c_void_p)


_DEFAULT = None
"""The address of the handler that ends the process."""

_handlers_before: list[int | None] = []
"""The addresses of the handlers that were replaced; None: the default."""

_kept: list[Any] = []
"""What the C library calls must not be freed."""
