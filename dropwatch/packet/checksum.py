"""The Internet's checksum, a sum in the ones' complement (RFC 1071)."""


def folded(data: bytes | bytearray) -> int:
    """The sum of the 16-bit words; a last odd byte is the upper half of one. 0xFFFF: a checksum in them is right."""
    total = remainder(data)
    return total or (0xFFFF if any(data) else 0)


def remainder(data: bytes | bytearray) -> int:
    """The same with 0 for 0xFFFF, which are equal in the ones' complement: 2^16 is 1 modulo 2^16 - 1."""
    return int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF
