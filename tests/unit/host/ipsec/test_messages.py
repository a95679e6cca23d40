"""The message classes agree with linux/xfrm.h, as the C compiler sees it."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from dropwatch.host.ipsec.messages import KEY_OFFSETS, TEMPLATE, NewPolicy, NewSa, XfrmAttributes
from dropwatch.names import xfrm_abi

LIFETIME = {
    "soft_byte_limit": "lft.soft_byte_limit",
    "hard_byte_limit": "lft.hard_byte_limit",
    "soft_packet_limit": "lft.soft_packet_limit",
    "hard_packet_limit": "lft.hard_packet_limit",
    "soft_add_expires_seconds": "lft.soft_add_expires_seconds",
    "hard_add_expires_seconds": "lft.hard_add_expires_seconds",
    "soft_use_expires_seconds": "lft.soft_use_expires_seconds",
    "hard_use_expires_seconds": "lft.hard_use_expires_seconds",
    "bytes": "curlft.bytes",
    "packets": "curlft.packets",
    "add_time": "curlft.add_time",
    "use_time": "curlft.use_time",
}
SA = LIFETIME | {
    "daddr": "id.daddr",
    "spi": "id.spi",
    "proto": "id.proto",
    "stat_replay_window": "stats.replay_window",
    "stat_replay": "stats.replay",
    "stat_integrity_failed": "stats.integrity_failed",
    "acquire_seq": "seq",
}
ENCAP = {"type": "encap_type", "sport": "encap_sport", "dport": "encap_dport"}
CLASSES = [
    (NewSa, "xfrm_usersa_info", SA),
    (NewPolicy, "xfrm_userpolicy_info", LIFETIME),
    (XfrmAttributes.algo, "xfrm_algo", {"name": "alg_name", "key_bits": "alg_key_len"}),
    (XfrmAttributes.encap, "xfrm_encap_tmpl", ENCAP),
    (XfrmAttributes.mark, "xfrm_mark", {}),
    (XfrmAttributes.replay, "xfrm_replay_state", {}),
    (XfrmAttributes.replay_esn, "xfrm_replay_state_esn", {}),
    *(
        (XfrmAttributes.algo_icv, name, {"name": "alg_name", "key_bits": "alg_key_len", "icv_bits": icv})
        for name, icv in (("xfrm_algo_aead", "alg_icv_len"), ("xfrm_algo_auth", "alg_trunc_len"))
    ),
]
TEMPLATE_FIELDS = [
    "id.daddr",
    "id.spi",
    "id.proto",
    "family",
    "saddr",
    "reqid",
    "mode",
    "share",
    "optional",
    "aalgos",
]
SELECTOR_FIELDS = [
    "daddr", "saddr", "dport", "dport_mask", "sport", "sport_mask", "family", "prefixlen_d", "prefixlen_s", "proto",
    "ifindex", "user",
]  # fmt: skip


def ask_compiler(expressions: list[str], directory: Path) -> list[int]:
    """The values of constant C expressions."""
    compiler = shutil.which("cc")
    assert compiler, "no C compiler: install gcc"
    lines = "".join(f'printf("%zu\\n", (size_t)({expression}));' for expression in expressions)
    source = directory / "ask.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/xfrm.h>\n"
        f"int main(void) {{ {lines} return 0; }}\n"
    )
    subprocess.run([compiler, "-o", directory / "ask", source], check=True)
    answer = subprocess.run([directory / "ask"], check=True, capture_output=True, text=True)
    return [int(line) for line in answer.stdout.split()]


def offsets(formats: list[str]) -> list[int]:
    return [struct.calcsize("=" + "".join(f.strip(">") for f in formats[:i])) for i in range(len(formats))]


@pytest.mark.parametrize(("message", "c_name", "members"), CLASSES)
def test_fields_lie_where_the_compiler_puts_them(message, c_name, members, tmp_path) -> None:
    names = [members.get(name, name) for name, _ in message.fields]
    asked = [f"offsetof(struct {c_name}, {name})" for name in names]
    assert offsets([form for _, form in message.fields]) == ask_compiler(asked, tmp_path)


def test_whole_structures_have_their_size(tmp_path) -> None:
    asked = [
        "struct xfrm_usersa_info",
        "struct xfrm_userpolicy_info",
        "struct xfrm_user_tmpl",
        "struct xfrm_selector",
    ]
    ours = [NewSa.get_size(), NewPolicy.get_size(), TEMPLATE.size, xfrm_abi.SELECTOR.size]
    assert ours == ask_compiler([f"sizeof({name})" for name in asked], tmp_path)


@pytest.mark.parametrize(
    ("c_name", "layout", "fields"),
    [("xfrm_user_tmpl", TEMPLATE, TEMPLATE_FIELDS), ("xfrm_selector", xfrm_abi.SELECTOR, SELECTOR_FIELDS)],
)
def test_flat_structures_are_read_at_the_right_places(c_name, layout, fields, tmp_path) -> None:
    """Each field in turn gets bytes of its own, where the compiler says it is, and must come out at its place."""
    places = ask_compiler([f"offsetof(struct {c_name}, {name})" for name in fields], tmp_path)
    sizes = ask_compiler([f"sizeof(((struct {c_name} *)0)->{name})" for name in fields], tmp_path)
    empty = layout.unpack(bytes(layout.size))
    for number, (place, size) in enumerate(zip(places, sizes, strict=True)):
        raw = bytearray(layout.size)
        raw[place : place + size] = b"\x01" * size
        found = layout.unpack(raw)
        assert [i for i, value in enumerate(found) if value != empty[i]] == [number], fields[number]


def test_numbers_of_messages_and_attributes(tmp_path) -> None:
    attributes = sorted({(number, name) for m in (NewSa, NewPolicy) for number, name, _ in m.nla_map})
    # Debian 12's header ends before XFRMA_SA_DIR, which is the next one after it.
    known = [(number, name) for number, name in attributes if name != "XFRMA_SA_DIR"]
    assert [number for number, _ in known] == ask_compiler([name for _, name in known], tmp_path)
    assert {name: number for number, name in attributes}["XFRMA_SA_DIR"] == 33


def test_keys_begin_where_the_structures_end(tmp_path) -> None:
    asked = [
        ("XFRMA_ALG_AUTH", "xfrm_algo"),
        ("XFRMA_ALG_CRYPT", "xfrm_algo"),
        ("XFRMA_ALG_COMP", "xfrm_algo"),
        ("XFRMA_ALG_AEAD", "xfrm_algo_aead"),
        ("XFRMA_ALG_AUTH_TRUNC", "xfrm_algo_auth"),
    ]
    numbers = ask_compiler([name for name, _ in asked], tmp_path)
    places = ask_compiler([f"offsetof(struct {c_name}, alg_key)" for _, c_name in asked], tmp_path)
    assert dict(zip(numbers, places, strict=True)) == KEY_OFFSETS
