"""Keep forked processes from writing to the files that their parent has mapped into memory."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import weakref

_MAP_FIXED = 0x10
"""On Linux, macOS and the BSDs; the module `mmap` has no name for it."""

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def keep_from_forks(mapped: mmap.mmap) -> None:
    """Have each forked process get empty memory of its own in place of this mapping.

    A process that is forked inside a fit may go on with it, or close its scopes: its records must
    not be mixed with those of its parent.
    """
    _mapped.add(mapped)
    _replace_in_forked_processes()


@functools.cache
def _replace_in_forked_processes() -> None:
    """Once for this process, and its forks."""
    if not hasattr(os, "register_at_fork"):  # a system without forks
        return
    library = ctypes.PyDLL(None)  # loaded here, because a forked process should only call it
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        *[ctypes.c_int] * 3,
        ctypes.c_longlong,
    ]

    def replace_all() -> None:
        access = mmap.PROT_READ | mmap.PROT_WRITE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        for mapped in [*_mapped]:
            address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
            library.mmap(address, len(mapped), access, flags, -1, 0)

    os.register_at_fork(after_in_child=replace_all)
