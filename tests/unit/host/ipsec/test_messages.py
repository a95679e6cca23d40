"""The layouts of messages agree with linux/xfrm.h, as the C compiler sees it."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from dropwatch.host.ipsec import messages
from dropwatch.host.ipsec.messages import UserPolicy, UserState
from dropwatch.names import xfrm_abi

MEMBERS = {
    **{
        f"{kind}_{what}": f"lft.{kind}_{what}"
        for kind in ("soft", "hard")
        for what in ("byte_limit", "packet_limit", "add_expires_seconds", "use_expires_seconds")
    },
    **{name: f"curlft.{name}" for name in ("bytes", "packets", "add_time", "use_time")},
    **{f"stat_{name}": f"stats.{name}" for name in ("replay_window", "replay", "integrity_failed")},
    "policy_index": "index",
}
OF_STATE = MEMBERS | {"daddr": "id.daddr", "spi": "id.spi", "proto": "id.proto", "acquire_seq": "seq"}
TEMPLATE = "id.daddr id.spi id.proto family saddr reqid mode share optional aalgos ealgos calgos"
SELECTOR = "daddr saddr dport dport_mask sport sport_mask family prefixlen_d prefixlen_s proto ifindex user"
LAYOUTS = [
    ("xfrm_usersa_info", messages.STATE, [OF_STATE.get(name, name) for name in UserState._fields]),
    ("xfrm_userpolicy_info", messages.POLICY, [MEMBERS.get(name, name) for name in UserPolicy._fields]),
    ("xfrm_user_tmpl", messages.TEMPLATE, TEMPLATE.split()),
    ("xfrm_selector", xfrm_abi.SELECTOR, SELECTOR.split()),
    ("xfrm_algo", messages.ALGORITHM, ["alg_name", "alg_key_len"]),
    ("xfrm_algo_aead", messages.ALGORITHM_ICV, ["alg_name", "alg_key_len", "alg_icv_len"]),
    ("xfrm_algo_auth", messages.ALGORITHM_ICV, ["alg_name", "alg_key_len", "alg_trunc_len"]),
    ("xfrm_encap_tmpl", messages.ENCAPSULATION, ["encap_type", "encap_sport", "encap_dport"]),
    ("xfrm_mark", messages.MARK_AND_MASK, ["v", "m"]),
    ("xfrm_replay_state", messages.REPLAY, ["oseq", "seq"]),
    ("xfrm_replay_state_esn", messages.REPLAY_ESN, ["oseq", "seq", "oseq_hi", "seq_hi", "replay_window"]),
]
WHOLE = ("xfrm_usersa_info", "xfrm_userpolicy_info", "xfrm_user_tmpl", "xfrm_selector", "xfrm_mark")
MESSAGES = {name: getattr(messages, name) for name in ("GETSA", "NEWSA", "GETPOLICY", "NEWPOLICY")}
ATTRIBUTES = {
    name: getattr(messages, name)
    for name in (
        *("ALG_AUTH", "ALG_CRYPT", "ALG_COMP", "ENCAP", "TMPL", "REPLAY_VAL", "ALG_AEAD", "ALG_AUTH_TRUNC"),
        *("MARK", "REPLAY_ESN_VAL", "IF_ID"),
    )
}


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


@pytest.mark.parametrize(("c_name", "layout", "fields"), LAYOUTS, ids=lambda each: str(each)[:20])
def test_fields_are_read_where_the_compiler_puts_them(
    c_name: str, layout: struct.Struct, fields: list[str], tmp_path: Path
) -> None:
    """Each field in turn gets bytes of its own, where the compiler says it is, and must come out at its place."""
    asked = [f"offsetof(struct {c_name}, {name})" for name in fields]
    asked += [f"sizeof(((struct {c_name} *)0)->{name})" for name in fields]
    answer = ask_compiler([*asked, f"sizeof(struct {c_name})"], tmp_path)
    places, sizes, whole = answer[: len(fields)], answer[len(fields) : -1], answer[-1]
    assert layout.size == whole if c_name in WHOLE else layout.size <= whole
    empty = layout.unpack(bytes(layout.size))
    assert len(empty) == len(fields)
    for number, (place, size) in enumerate(zip(places, sizes, strict=True)):
        raw = bytearray(layout.size)
        raw[place : place + size] = b"\x01" * size
        found = layout.unpack(raw)
        assert [at for at, value in enumerate(found) if value != empty[at]] == [number], fields[number]


def test_numbers_of_messages_and_attributes(tmp_path: Path) -> None:
    names = [f"XFRM_MSG_{name}" for name in MESSAGES] + [f"XFRMA_{name}" for name in ATTRIBUTES]
    # Debian 12's header ends before XFRMA_SA_DIR, which is the next one after it.
    *numbers, before = ask_compiler([*names, "XFRMA_MTIMER_THRESH"], tmp_path)
    assert numbers == [*MESSAGES.values(), *ATTRIBUTES.values()]
    assert before + 1 == messages.SA_DIR


def test_keys_begin_where_the_structures_end(tmp_path: Path) -> None:
    asked = [
        ("XFRMA_ALG_AUTH", "xfrm_algo"),
        ("XFRMA_ALG_CRYPT", "xfrm_algo"),
        ("XFRMA_ALG_COMP", "xfrm_algo"),
        ("XFRMA_ALG_AEAD", "xfrm_algo_aead"),
        ("XFRMA_ALG_AUTH_TRUNC", "xfrm_algo_auth"),
    ]
    numbers = ask_compiler([name for name, _ in asked], tmp_path)
    places = ask_compiler([f"offsetof(struct {c_name}, alg_key)" for _, c_name in asked], tmp_path)
    assert dict(zip(numbers, places, strict=True)) == messages.KEY_OFFSETS
