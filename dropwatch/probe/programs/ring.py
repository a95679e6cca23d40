"""Reads the ring buffer that the programs write their records to, through libbpf."""

import ctypes
from collections.abc import Callable
from typing import Any

from dropwatch.errors import CannotRunHere
from dropwatch.kernel import btf
from dropwatch.kernel.libbpf import pointer

_TAKE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Ring:
    """`take` gets each record; what it answers other than 0 ends that poll."""

    def __init__(self, descriptor: int, take: Callable[[bytes], int]) -> None:
        self._lib = btf.libbpf()
        self._lib.ring_buffer__new.restype = ctypes.c_void_p
        self._lib.ring_buffer__new.argtypes = [ctypes.c_int, _TAKE, ctypes.c_void_p, ctypes.c_void_p]
        self._lib.ring_buffer__poll.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._lib.ring_buffer__free.argtypes = [ctypes.c_void_p]

        def taken(_context: Any, data: int, size: int) -> int:
            return take(ctypes.string_at(data, size))

        self._taken = _TAKE(taken)  # libbpf keeps its address
        self._ring = pointer(self._lib.ring_buffer__new(descriptor, self._taken, None, None))
        if self._ring is None:
            raise CannotRunHere(
                "the BPF ring buffer cannot be read", "whydrop check tells what this host can do"
            )

    def poll(self, timeout_ms: int) -> None:
        """Hands over what is there, after waiting at most that long for the first record."""
        self._lib.ring_buffer__poll(self._ring, timeout_ms)

    def close(self) -> None:
        if self._ring is not None:
            self._lib.ring_buffer__free(self._ring)
            self._ring = None
