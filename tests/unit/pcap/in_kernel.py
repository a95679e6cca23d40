"""Runs a translated expression in the kernel, on a frame of the test's: what the verifier takes, and what comes out."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator

from dropwatch.kernel import system_calls
from dropwatch.probe.programs.load import Kind, load_program
from dropwatch.wire.settings import FRAME_BYTES, Frame

_MAP_CREATE, _MAP_UPDATE, _TEST_RUN = 0, 2, 10
_ARRAY = 2


class InKernel:
    """An array with one frame, and programs that are tried on it."""

    def __init__(self) -> None:
        attr = struct.pack("=IIIII", _ARRAY, 4, ctypes.sizeof(Frame), 1, 0)
        self._frames = system_calls.bpf(_MAP_CREATE, attr)

    def close(self) -> None:
        os.close(self._frames)

    @contextlib.contextmanager
    def loaded(self, function: bytes) -> Iterator[int]:
        """A program that looks the frame up and calls the function. Raises OSError with the verifier's words."""
        program = [
            (0x62, 10, -4, 0),  # *(u32 *)(r10 - 4) = 0
            (0xBF, 0xA2, 0, 0),  # r2 = r10
            (0x07, 2, 0, -4),
            (0x18, 0x11, 0, self._frames),  # r1 = the map
            (0, 0, 0, 0),
            (0x85, 0, 0, 1),  # bpf_map_lookup_elem
            (0x15, 0, 2, 0),
            (0xBF, 1, 0, 0),  # r1 = r0
            (0x85, 0x10, 0, 1),  # the function, behind the exit
            (0x95, 0, 0, 0),
        ]
        code = b"".join(struct.pack("=BBhi", *step) for step in program)
        descriptor = load_program("expression", Kind.RAW_TRACEPOINT, code + function)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def matches(self, descriptor: int, frame: bytes, length: int) -> bool:
        """Of a frame of at most FRAME_BYTES."""
        assert len(frame) <= FRAME_BYTES
        value = Frame((ctypes.c_uint8 * FRAME_BYTES)(*frame), len(frame), length)
        key = ctypes.c_uint32(0)
        attr = struct.pack("=IIQQQ", self._frames, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
        system_calls.bpf(_MAP_UPDATE, attr)
        answer = system_calls.bpf_answer(_TEST_RUN, struct.pack("=I", descriptor))
        return bool(struct.unpack_from("=I", answer, 4)[0])
