"""bpf/event.h, settings.h and layout.h against their mirror in Python, with the C compiler as the judge."""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from dropwatch.model.netfilter import FAMILIES
from dropwatch.names import xfrm_abi
from dropwatch.probe.programs import loader
from dropwatch.resources import resource_dir
from dropwatch.wire import (
    changes,
    connection,
    decoder,
    drop,
    header,
    ipsec,
    layout,
    listener,
    netfilter,
    past,
    resent,
    send,
    settings,
    socket,
    trace,
)

BPF = resource_dir("bpf")
MIRROR: dict[str, type[ctypes.Structure]] = {
    "record_header": header.RecordHeader,
    "row": drop.Row,
    "drop_record": drop.DropRecord,
    "xfrm_algorithm": ipsec.XfrmAlgorithm,
    "xfrm_template": ipsec.XfrmTemplateRecord,
    "xfrm_policy_record": ipsec.XfrmPolicyRecord,
    "xfrm_record": ipsec.XfrmRecord,
    "prefix": settings.Prefix,
    "port_range": settings.PortRange,
    "mark": settings.Mark,
    "frame": settings.Frame,
    "settings": settings.Settings,
    "module_record": decoder.ModuleRecord,
    "engines_record": netfilter.EnginesRecord,
    "nft_chain_seen": netfilter.NftChainSeen,
    "nft_record": netfilter.NftRecord,
    "xt_record": netfilter.XtRecord,
    "ebt_record": netfilter.EbtRecord,
    "hook_functions": netfilter.HookFunctions,
    "hooks_record": netfilter.HooksRecord,
    "code_range": layout.CodeRange,
    "xt_entry_layout": layout.XtEntryLayout,
    "netfilter_layout": layout.NetfilterLayout,
    "tun_layout": layout.TunLayout,
    "step_record": trace.StepRecord,
    "step_field": trace.StepField,
    "socket_record": socket.SocketRecord,
    "past_direction": past.PastDirection,
    "past_record": past.PastRecord,
    "listener_record": listener.ListenerRecord,
    "send_record": send.SendRecord,
    "send_code": send.SendCode,
    "connection_record": connection.ConnectionRecord,
    "resent_death": resent.ResentDeath,
    "resent_record": resent.ResentRecord,
}
HEADERS = ("event.h", "settings.h", "layout.h")
TEXT = re.sub(r"/\*.*?\*/", "", "".join((BPF / name).read_text() for name in HEADERS), flags=re.S)


def members(struct: str) -> list[str]:
    """Names of the members in the C text, in order."""
    body = re.search(rf"^struct {struct} {{(.*?)^}};", TEXT, re.S | re.M)
    assert body, f"no struct {struct} in bpf/*.h"
    declarations = [re.sub(r"\s*\[[^]]*\]", "", line).strip() for line in body[1].split(";")]
    return [declaration.split()[-1] for declaration in declarations if declaration]


def enumerators() -> list[str]:
    bodies = re.findall(r"^enum \w+ {(.*?)^};", TEXT, re.S | re.M)
    return [name for body in bodies for name in re.findall(r"^\s*(\w+)", body, re.M)]


def numbers(mirror: type[ctypes.Structure]) -> "dict[str, type[ctypes._SimpleCData[int]]]":
    return {name: kind for name, kind, *_ in mirror._fields_ if issubclass(kind, ctypes._SimpleCData)}


def is_signed(struct: str, member: str) -> str:
    return f"(__typeof__(((struct {struct} *)0)->{member}))-1 < 1"


def ask_compiler(
    directory: Path, expressions: list[str], includes: tuple[str, ...], *flags: str
) -> dict[str, int]:
    """What C integer expressions are worth."""
    source, binary = directory / "ask.c", directory / "ask"
    lines = [f'\tprintf("%lld\\n", (long long)({expression}));' for expression in expressions]
    headers = [f"#include {name}" for name in ("<stddef.h>", "<stdio.h>", *includes)]
    source.write_text("\n".join([*headers, "int main(void)", "{", *lines, "\treturn 0;", "}", ""]))
    command = ["cc", "-std=gnu11", "-Wall", "-Wpadded", "-Werror", *flags, "-o", str(binary), str(source)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr
    answers = subprocess.run([binary], capture_output=True, text=True, check=True).stdout.split()
    return dict(zip(expressions, map(int, answers), strict=True))


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes, offsets and constants of our headers, compiled with the integer types that BCC gets."""
    wanted = [f"sizeof(struct {struct})" for struct in MIRROR]
    for struct in MIRROR:
        for member in members(struct):
            wanted += [
                f"offsetof(struct {struct}, {member})",
                f"sizeof(((struct {struct} *)0)->{member})",
            ]
        wanted += [is_signed(struct, name) for name in numbers(MIRROR[struct])]
    constants = [
        "STACK_DEPTH",
        "PACKET_BYTES",
        "NAME_BYTES",
        "ALGORITHM_NAME_BYTES",
        "ALTERNATIVES",
        "FRAME_BYTES",
        "MEMORY_WORDS",
    ]
    constants += ["EBT_WATCHED", "NFT_VISITED", "XT_CANDIDATES", "XT_JUMPS", "NF_HOOKS", "HOOK_FUNCTIONS"]
    constants += ["STEP_PACKET_BYTES", "STEP_CALLERS", "STEP_FIELDS", "CHANGE_PLACES", "POLICY_TEMPLATES"]
    return ask_compiler(
        tmp_path_factory.mktemp("ours"),
        wanted + constants + enumerators(),
        tuple(f'"{name}"' for name in HEADERS),
        f"-I{BPF}",
        f"-I{BPF / 'include'}",
    )


@pytest.fixture(scope="module")
def uapi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The same of the kernel's own user-space headers. Their structs may have holes."""
    limits = [f"offsetof(struct xfrm_lifetime_cfg, {name})" for name in LIMITS]
    use = [f"offsetof(struct xfrm_lifetime_cur, {name})" for name in USE]
    words = [name for table in (MODES, PROTOS, ENCAPS) for name in table.values()]
    sizes = ["sizeof(struct xfrm_selector)", "sizeof(((struct xfrm_algo *)0)->alg_name)"]
    return ask_compiler(
        tmp_path_factory.mktemp("uapi"),
        [*limits, *use, *words, *sizes, *GRANTED, "XFRM_STATE_ESN"],
        (
            *("<netinet/in.h>", "<linux/bpf.h>", "<linux/xfrm.h>", "<linux/udp.h>"),
            *("<linux/netfilter_ipv4/ip_tables.h>", "<linux/netfilter_ipv6/ip6_tables.h>"),
            *("<linux/netfilter_arp/arp_tables.h>", "<linux/netfilter_bridge/ebtables.h>"),
            *("<linux/netfilter/nf_tables.h>", "<linux/netfilter/nf_conntrack_common.h>"),
        ),
        "-Wno-padded",
    )


LIMITS = (
    "soft_byte_limit",
    "hard_byte_limit",
    "soft_packet_limit",
    "hard_packet_limit",
    "soft_add_expires_seconds",
    "hard_add_expires_seconds",
    "soft_use_expires_seconds",
    "hard_use_expires_seconds",
)
USE = ("bytes", "packets", "add_time", "use_time")
MODES = {
    "transport": "XFRM_MODE_TRANSPORT",
    "tunnel": "XFRM_MODE_TUNNEL",
    "ro": "XFRM_MODE_ROUTEOPTIMIZATION",
    "in_trigger": "XFRM_MODE_IN_TRIGGER",
    "beet": "XFRM_MODE_BEET",
}
PROTOS = {
    "esp": "IPPROTO_ESP",
    "ah": "IPPROTO_AH",
    "comp": "IPPROTO_COMP",
    "route2": "IPPROTO_ROUTING",
    "hao": "IPPROTO_DSTOPTS",
}
ENCAPS = {"espinudp-nonike": "UDP_ENCAP_ESPINUDP_NON_IKE", "espinudp": "UDP_ENCAP_ESPINUDP"}

NFPROTO_NAMES = {
    **{word: word.upper() for word in FAMILIES.values()},
    "ip": "IPV4",
    "ip6": "IPV6",
}
# Offsets in structs of the kernel's ABI, and its numbers, that bpf/*.c, probe/ and *_notes.py have as numbers.
GRANTED = {
    "offsetof(struct ipt_entry, target_offset)": 88,
    "offsetof(struct ipt_entry, next_offset)": 90,
    "offsetof(struct ipt_entry, counters)": 96,
    "offsetof(struct ip6t_entry, target_offset)": 140,
    "offsetof(struct ip6t_entry, next_offset)": 142,
    "offsetof(struct ip6t_entry, counters)": 152,
    "offsetof(struct arpt_entry, target_offset)": 164,
    "offsetof(struct arpt_entry, next_offset)": 166,
    "offsetof(struct arpt_entry, counters)": 176,
    "offsetof(struct xt_standard_target, verdict)": 32,
    "sizeof(struct xt_entry_target)": 32,
    "offsetof(struct xt_entry_target, u.kernel.target)": 8,
    "sizeof(struct ebt_counter)": 16,
    "offsetof(struct ebt_counter, pcnt)": 0,
    "NFT_JUMP": -3,
    "NFT_GOTO": -4,
    "NF_DROP": 0,
    "NF_VERDICT_MASK": 0xFF,
    "IPS_SRC_NAT | IPS_DST_NAT": 0x30,
    "NF_INET_NUMHOOKS": netfilter.NF_HOOKS,
    "ETH_P_IP": 0x0800,
    "ETH_P_ARP": 0x0806,
    "ETH_P_IPV6": 0x86DD,
    **{f"NFPROTO_{NFPROTO_NAMES[word]}": number for number, word in FAMILIES.items()},
    "offsetof(struct xfrm_algo, alg_key_len)": 64,
    "offsetof(struct xfrm_algo_auth, alg_key_len)": 64,
    "offsetof(struct xfrm_algo_auth, alg_trunc_len)": 68,
    "offsetof(struct xfrm_algo_aead, alg_key_len)": 64,
    "offsetof(struct xfrm_algo_aead, alg_icv_len)": 68,
    "offsetof(struct xfrm_replay_state, oseq)": 0,
    "offsetof(struct xfrm_replay_state, seq)": 4,
    "offsetof(struct xfrm_replay_state_esn, oseq)": 4,
    "offsetof(struct xfrm_replay_state_esn, seq)": 8,
    "offsetof(struct xfrm_replay_state_esn, seq_hi)": 16,
    "offsetof(struct xfrm_replay_state_esn, replay_window)": 20,
    "offsetof(struct xfrm_encap_tmpl, encap_type)": 0,
    "offsetof(struct xfrm_encap_tmpl, encap_sport)": 2,
    "offsetof(struct xfrm_encap_tmpl, encap_dport)": 4,
    "offsetof(struct xfrm_mark, v)": 0,
    "offsetof(struct xfrm_mark, m)": 4,
    "offsetof(struct xfrm_stats, replay_window)": 0,
    "offsetof(struct xfrm_stats, replay)": 4,
    "offsetof(struct xfrm_stats, integrity_failed)": 8,
    "offsetof(struct bpf_prog_info, recursion_misses)": loader._RECURSION_MISSES_OFFSET,
}


def test_every_struct_of_the_headers_is_mirrored() -> None:
    assert set(re.findall(r"^struct (\w+) {", TEXT, re.M)) == set(MIRROR)


@pytest.mark.parametrize("struct", MIRROR)
def test_same_members_in_the_same_order(struct: str) -> None:
    assert [name for name, *_ in MIRROR[struct]._fields_] == members(struct)


@pytest.mark.parametrize("struct", MIRROR)
def test_same_sizes_and_offsets(struct: str, compiler: dict[str, int]) -> None:
    mirror = MIRROR[struct]
    assert ctypes.sizeof(mirror) == compiler[f"sizeof(struct {struct})"]
    for member in members(struct):
        field = getattr(mirror, member)
        assert field.offset == compiler[f"offsetof(struct {struct}, {member})"], member
        assert field.size == compiler[f"sizeof(((struct {struct} *)0)->{member})"], member


@pytest.mark.parametrize("struct", MIRROR)
def test_same_signs(struct: str, compiler: dict[str, int]) -> None:
    for name, kind in numbers(MIRROR[struct]).items():
        assert (kind(-1).value < 0) == compiler[is_signed(struct, name)], name


@pytest.mark.parametrize("struct", MIRROR)
def test_the_members_fill_the_struct(struct: str, compiler: dict[str, int]) -> None:
    """No hole, and no member that the reading of the C text missed."""
    filled = sum(compiler[f"sizeof(((struct {struct} *)0)->{member})"] for member in members(struct))
    assert filled == compiler[f"sizeof(struct {struct})"]


def test_constants(compiler: dict[str, int]) -> None:
    assert compiler["STACK_DEPTH"] == drop.STACK_DEPTH
    assert compiler["PACKET_BYTES"] == drop.PACKET_BYTES
    assert compiler["NAME_BYTES"] == settings.NAME_BYTES
    for name in ("ALTERNATIVES", "FRAME_BYTES", "MEMORY_WORDS"):
        assert compiler[name] == getattr(settings, name)
    for name in ("STEP_PACKET_BYTES", "STEP_CALLERS", "STEP_FIELDS"):
        assert compiler[name] == getattr(trace, name)
    assert compiler["POLICY_TEMPLATES"] == len(ipsec.XfrmPolicyRecord().templates)
    assert compiler["CHANGE_PLACES"] == changes.CHANGE_PLACES
    for name in ("EBT_WATCHED", "NFT_VISITED", "XT_CANDIDATES", "XT_JUMPS", "NF_HOOKS", "HOOK_FUNCTIONS"):
        assert compiler[name] == getattr(netfilter, name)


STEPS = [name for name in enumerators() if name.startswith("STEP_")]


def test_enumerators(compiler: dict[str, int]) -> None:
    """All of them: one that is added in C is wanted here as well."""
    records = vars(header) | vars(socket) | vars(listener) | vars(past) | vars(send) | vars(connection)
    sources = {f"SOURCE_{name.upper()}": number for number, name in enumerate(drop.SOURCES)}
    audits = {f"XFRM_AUDIT_{word.upper()}": number for number, word in ipsec._AUDITS.items()}
    notes = {f"NOTE_{word.upper().replace('-', '_')}": number for number, word in drop._NOTES.items()}
    assert {name: compiler[name] for name in enumerators()} == {
        **{name: number for name, number in records.items() if name.startswith("RECORD_")},
        "CONNECTION_OF_CONNTRACK": 1,
        "CONNECTION_OF_IPVS": past._OF_IPVS,
        "POLICY_UNKNOWN": 0,
        "POLICY_NONE": ipsec._NONE,
        "POLICY_FOUND": ipsec._FOUND,
        "NFT_NO_VERDICT": 0,
        "NFT_RULE": netfilter._NFT_RULE,
        **sources,
        "SOURCES": len(drop.SOURCES),
        "LOSS_RING_FULL": decoder.LOSS_RING_FULL,
        "LOSS_DETAIL": decoder.LOSS_DETAIL,
        "NOT_A_PACKET": decoder.NOT_A_PACKET,
        **{f"KILLER_{word}": n for n, word in enumerate(("HOOK_SLOW", "DO_CHAIN", "BRIDGE", "REINJECT"))},
        "KILLERS": layout.KILLERS,
        "LOSS_ROWS": decoder.LOSS_ROWS,
        "INTERRUPTING": decoder.INTERRUPTING,
        "LOSS_STEPS": decoder.LOSS_STEPS,
        "FOLDED": decoder.FOLDED,
        "NEW_ROWS": decoder.NEW_ROWS,
        "LOSSES": decoder.NEW_ROWS + 1,
        **{name: number for name, number in vars(trace).items() if name in STEPS},
        "STEPS": len(STEPS),
        **{f"CHANGE_{kind.upper().replace(' ', '_')}": number for number, kind in enumerate(changes.KINDS)},
        "CHANGE_KINDS": changes.CHANGE_KINDS,
        **{f"EXPRESSION_{kind.name}": int(kind) for kind in settings.ExpressionKind},
        **notes,
        "NOTE_PAST": drop._PAST,
        **audits,
    }


def test_structs_of_the_kernels_headers(uapi: dict[str, int], compiler: dict[str, int]) -> None:
    assert ipsec.XfrmRecord.selector.size == uapi["sizeof(struct xfrm_selector)"]
    assert compiler["ALGORITHM_NAME_BYTES"] == uapi["sizeof(((struct xfrm_algo *)0)->alg_name)"]
    for at, name in enumerate(LIMITS):
        assert uapi[f"offsetof(struct xfrm_lifetime_cfg, {name})"] == at * 8
    for at, name in enumerate(USE):
        assert uapi[f"offsetof(struct xfrm_lifetime_cur, {name})"] == at * 8


@pytest.mark.parametrize("place", GRANTED)
def test_offsets_that_the_programs_take_for_granted(place: str, uapi: dict[str, int]) -> None:
    assert uapi[place] == GRANTED[place]


def test_words_for_the_kernels_numbers(uapi: dict[str, int]) -> None:
    tables = ((xfrm_abi.mode_word, MODES), (xfrm_abi.proto_word, PROTOS), (xfrm_abi.encap_word, ENCAPS))
    for find, expected in tables:
        for word, name in expected.items():
            assert find(uapi[name]) == word
    assert uapi["XFRM_STATE_ESN"] == xfrm_abi.STATE_ESN
