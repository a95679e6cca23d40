"""Is an entry of a legacy table, as user space gets it, the one whose first bytes were read in the kernel?"""

import struct

from dropwatch.host.xt.blob import EXTENSION_HEADER, LAYOUTS, REVISION_AT, XtTable, extension_name

_POINTER_AT, _POINTER_END = 8, 16  # struct xt_entry_match: the kernel's pointer lies over a part of the name
_SIZE_BYTES = 2
_VERDICT_BYTES = 4
# Where the data of a match stops being the user's (`.usersize` of its struct xt_match): the kernel works in the
# rest, and user space gets zeros. A match that is not here has to agree to its last byte.
_PRIVATE_FROM = {
    ("limit", 0): 8,
    ("quota", 0): 16,
    ("statistic", 0): 16,
    ("connlimit", 1): 24,
    ("string", 1): 152,
    ("bpf", 0): 520,
    ("bpf", 1): 520,
    ("hashlimit", 1): 48,
    ("hashlimit", 2): 296,
    ("hashlimit", 3): 304,
}


def agrees(table: XtTable, offset: int, kernel: bytes, whole: bool = True) -> bool:
    """True when nothing that can be compared differs. With `whole`, the end of the entry must have been seen too."""
    layout, entry = LAYOUTS[table.family], table.entries[offset]
    user = table.bytes_of(offset)
    seen = min(len(kernel), len(user))
    if whole and seen < len(user):
        return False
    header = min(layout.header_size, seen)
    if kernel[:header] != user[:header]:
        return False
    start, end = layout.offsets_at, min(layout.comefrom_at, seen)
    if kernel[start:end] != user[start:end]:
        return False
    at = layout.size
    target_at = entry.target_at - offset
    while at + EXTENSION_HEADER <= seen:
        (size,) = struct.unpack_from("=H", user, at)
        if size < EXTENSION_HEADER or not _extension_agrees(user[at : at + size], kernel[at : at + size]):
            return False
        if at >= target_at:
            return True
        at += size
    return not whole


def _extension_agrees(user: bytes, kernel: bytes) -> bool:
    name = extension_name(user)
    # Behind the end of a name there may be anything: a name is not cleared before it is written.
    end = _SIZE_BYTES + min(len(name.encode()) + 1, REVISION_AT - _SIZE_BYTES)
    first = min(end, _POINTER_AT)
    if kernel[:first] != user[:first] or kernel[_POINTER_END:end] != user[_POINTER_END:end]:
        return False
    if kernel[REVISION_AT] != user[REVISION_AT]:
        return False
    length = len(kernel) - EXTENSION_HEADER
    if not name:
        length = min(length, _VERDICT_BYTES)  # a standard target: padding follows
    length = min(length, _PRIVATE_FROM.get((name, user[REVISION_AT]), length))
    data = slice(EXTENSION_HEADER, EXTENSION_HEADER + length)
    return kernel[data] == user[data]
