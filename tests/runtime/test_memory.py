"""Freed memory stays with the process, where the C library can be told so."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from bridge.runtime.memory import keep_freed_memory

#: allocates, touches and frees 40 blocks of 1 MiB, ten times; prints how many pages the kernel had to clear in the last
#: nine rounds
_ROUNDS = """
import ctypes, resource, sys
from bridge.runtime.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes, libc.memset.argtypes = (
    ctypes.c_void_p, [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t])
size, faults = 1 << 20, []
for _ in range(10):
    blocks = [libc.malloc(ctypes.c_size_t(size)) for _ in range(40)]
    for block in blocks:
        libc.memset(block, 1, size)
    for block in blocks:
        libc.free(block)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[0])
"""


def _pages_cleared(how: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", _ROUNDS, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not the GNU C library")
def test_what_is_freed_is_used_again() -> None:
    pages = 40 * (1 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert _pages_cleared("default") > 5 * pages
    assert _pages_cleared("kept") < pages


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_who_tunes_the_allocator_knows_better(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()
