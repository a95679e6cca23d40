"""Bytes with a few of them changed, cut off, put in or repeated: what is nearly right goes deepest."""

from collections.abc import Sequence

from hypothesis import strategies as st


@st.composite
def changed(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("set", "set", "flip", "cut", "insert", "repeat"))):
            case "set":
                new = draw(
                    st.sampled_from((b"\0", b"\xff", b"\x01", b"\x7f\xff", b"\xff\xff\xff\xff", bytes(8)))
                )
                data[at : at + len(new)] = new
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case "repeat":
                data[at:at] = data[max(0, at - 32) : at]
    return bytes(data)
