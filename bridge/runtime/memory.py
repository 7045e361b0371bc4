"""How much freed memory the process keeps instead of giving it back to the kernel."""

from __future__ import annotations

import ctypes
import os

#: parameters of mallopt(3), from <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: bytes: what may lie free at the end of the heap, and from which size on a block is mapped on its own (glibc's most)
KEPT, MAPPED_FROM = 64 * 1024 * 1024, 32 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Let the allocator keep what is freed. The client takes and frees megabytes with each fetch; glibc gives them back
    at once, by default, and the kernel has to clear the same pages again: a sixteenth of the bridge's processor time.

    Returns False where nothing is done: another C library has no such parameters, and whoever tunes the allocator
    through the environment knows better.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_FROM) and mallopt(M_TRIM_THRESHOLD, KEPT))
