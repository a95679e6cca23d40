"""What `whydrop explain` finds for words."""

import subprocess
import sys

import pytest

from dropwatch.causes import BY_ID, CATALOGUE
from dropwatch.errors import WrongUsage
from dropwatch.explain.counters import counters
from dropwatch.explain.find import page
from dropwatch.model.page import Page
from dropwatch.names import symbols


def section(found: Page, heading: str) -> dict[str, str]:
    return next(dict(one.entries) for one in found.sections if one.heading == heading)


def text(found: Page, heading: str) -> str:
    return next(one.text for one in found.sections if one.heading == heading)


def headings(found: Page) -> list[str]:
    return [one.heading for one in found.sections]


def hits(*words: str) -> list[str]:
    found = page(words)
    assert found.kind == "search"
    return [name for name, _ in found.sections[0].entries]


@pytest.mark.parametrize(
    "name", ["ipsec.auth-failed", "IPSEC.Auth-Failed", " ipsec.auth-failed ", "auth-failed", "Auth-Failed"]
)
def test_a_cause_in_any_case_also_without_its_family(name: str) -> None:
    found = page([name])
    assert (found.name, found.kind) == ("ipsec.auth-failed", "cause")
    assert [one for one in headings(found) if one != "How it looks"][:3] == [
        "What it means",
        "How to confirm it",
        "How to fix it",
    ]


def test_the_last_words_of_a_cause_are_enough_where_only_one_has_them() -> None:
    assert page(["allowed-ips"]).name == "tunnel.wireguard-allowed-ips"
    assert page(["buffer-full"]).kind == "", "three have them"
    assert hits("failed")[0] == "ipsec.auth-failed", "one word is no name, but can be looked for"


def test_what_stands_in_capitals_is_explained_and_what_weakens_is_said() -> None:
    todo = text(page(["tunnel.vxlan-unknown-vni"]), "How to fix it")
    assert "dev DEV\nwhere VNI is the VXLAN network identifier" in todo
    found = page(["socket.security-module"])
    assert "permissive; this weakens security" in text(found, "How to fix it")
    assert "no policy of SELinux holds" in text(found, "Risks")


def test_what_changes_the_running_host_alone_says_so() -> None:
    assert "What `sysctl` changes here is the running host" in text(page(["routing.reverse-path"]), "Risks")
    assert text(page(["routing.blackhole"]), "Risks").count("they may be there on purpose") == 1
    assert "Risks" not in headings(page(["tunnel.ecn"])), "its commands only look"


def test_a_cause_that_the_kernel_names_shows_what_the_kernel_calls_it() -> None:
    kernel = section(page(["socket.closed"]), "In the kernel")
    assert kernel["drop reason"] == "TCP_CLOSE, TCP_ABORT_ON_DATA"
    assert "tcp_rcv_state_process()" in kernel["dies in"]
    assert kernel["counters"] == "TcpExtTCPAbortOnClose, TcpExtTCPAbortOnData"


def test_a_landmark_is_called_as_in_a_trace() -> None:
    assert text(page(["ip_finish_output2"]), "In a trace") == "postrouting done, resolving the next hop"


@pytest.mark.parametrize("name", ["NO_SOCKET", "no_socket", "SKB_DROP_REASON_NO_SOCKET"])
def test_a_reason_in_any_case_shows_what_it_can_mean(name: str) -> None:
    found = page([name])
    assert (found.name, found.kind) == ("NO_SOCKET", "drop reason")
    assert {"socket.udp-no-listener", "socket.tcp-no-listener"} <= set(section(found, "It can mean"))


def test_a_reason_that_settles_a_cause_says_so() -> None:
    assert section(page(["IP_RPFILTER"]), "It means") == {
        "routing.reverse-path": BY_ID["routing.reverse-path"].title
    }


@pytest.mark.parametrize("name", ["xfrm_input", "XFRM_INPUT", "xfrm_input.isra.0", "xfrm_input()"])
def test_a_function_in_any_spelling_shows_what_dies_there(name: str) -> None:
    found = page([name])
    assert (found.name, found.kind) == ("xfrm_input", "kernel function")
    assert "ipsec.auth-failed" in section(found, "Packets die here of")


def test_a_freeing_function_is_no_place() -> None:
    assert "Note" in headings(page(["kfree_skb"]))


@pytest.mark.parametrize("name", ["ipsec", "IPsec", "ipsec.*"])
def test_a_family_lists_its_causes_one_line_each(name: str) -> None:
    (only,) = page([name]).sections
    assert only.listed
    assert [cause_id for cause_id, _ in only.entries] == [
        one.id for one in CATALOGUE if one.family == "ipsec"
    ]


@pytest.mark.parametrize("name", ["TcpExtListenDrops", "ListenDrops", "listendrops"])
def test_a_counter_as_nstat_calls_it_or_as_people_do(name: str) -> None:
    found = page([name])
    assert (found.name, found.kind) == ("TcpExtListenDrops", "counter")
    assert set(section(found, "It rises with")) == {"socket.accept-queue-full", "socket.syn-queue-full"}


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("XfrmInNoStates", "ipsec.no-state"),
        ("rx_dropped", "device.unhandled-protocol"),
        ("qdisc.drops", "queueing.qdisc-full"),
        ("softnet.dropped", "queueing.cpu-backlog"),
        ("UdpRcvbufErrors", "socket.udp-buffer-full"),
    ],
)
def test_counters_of_every_sort_say_which_causes_raise_them(name: str, cause: str) -> None:
    found = page([name])
    assert cause in section(found, "It rises with")
    assert "has a finding" in text(found, "What whydrop sees of it")


def test_a_counter_of_what_whydrop_cannot_see_says_so() -> None:
    assert text(page(["rx_missed_errors"]), "What whydrop sees of it").startswith("Nothing")
    assert "not count lost packets" in text(page(["time_squeeze"]), "What whydrop sees of it")


def test_a_counter_that_is_only_looked_at_has_the_pages_that_do() -> None:
    assert "tcp.no-connection" in section(page(["TcpOutRsts"]), "These pages look at it")


def test_several_counters_of_one_name_are_listed() -> None:
    found = page(["RcvbufErrors"])
    assert [name for name, _ in found.sections[0].entries] == [
        "UdpRcvbufErrors",
        "UdpLiteRcvbufErrors",
        "Udp6RcvbufErrors",
    ]


def test_unknown_is_explained_too() -> None:
    assert page(["unknown"]).headline == "whydrop does not know for sure"


def test_without_words_the_families_are_listed_and_the_harmless_last() -> None:
    found = page()
    listed = dict(found.sections[0].entries)
    assert list(listed)[-1] == "benign"
    assert set(listed) == {cause.family for cause in CATALOGUE}
    assert sum(int(words.split()[0]) for words in listed.values()) == len(CATALOGUE)


@pytest.mark.parametrize(
    "words", [(), ("ipsec.auth-failed",), ("NO_SOCKET",), ("ListenDrops",), ("rp", "filter")]
)
def test_a_page_takes_neither_judges_nor_the_host(words: tuple[str, ...]) -> None:
    program = (
        "import sys; from dropwatch.cli.main import main; main(['explain', *sys.argv[1:]]); "
        "print(*sorted({name.rpartition('.')[0] or name for name in sys.modules if name.startswith(HEAVY)}), "
        "file=sys.stderr)"
    )
    heavy = (
        "dropwatch.causes",
        "dropwatch.host",
        "dropwatch.packet",
        "dropwatch.probe",
        "bcc",
        "tabulate",
        "ctypes",
    )
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy}; {program}", *words], capture_output=True, text=True
    )
    assert (done.stderr.strip(), done.returncode) == ("", 0)
    assert done.stdout


def test_every_name_has_a_page() -> None:
    for name in (*(cause.id for cause in CATALOGUE), *symbols.reasons(), *symbols.functions(), *counters()):
        assert page([name]).name == name


def test_other_words_are_looked_for() -> None:
    assert hits("buffer")[:4] == [
        "send.no-buffer",
        "socket.packet-buffer-full",
        "socket.raw-buffer-full",
        "socket.udp-buffer-full",
    ]
    assert {"netfilter.rpfilter-match", "routing.reverse-path"} <= set(hits("rp", "filter"))
    assert hits("rp_filter") == hits("rp filter") == hits("rp", "filter")


def test_of_many_hits_the_nearest_are_listed_unless_all_are_asked_for() -> None:
    few, every = page(["packet"]), page(["packet"], everything=True)
    assert len(few.sections[0].entries) == 20
    assert f"{len(every.sections[0].entries) - 20} more" in few.sections[1].text
    assert len(every.sections) == 1


def test_a_word_that_is_a_name_by_chance_tells_of_the_other_pages_that_have_it() -> None:
    found = page(["reset"])
    assert found.name == "tcp.reset"
    assert "$ whydrop explain --all reset" in found.sections[-1].text
    assert page(["reset"], everything=True).kind == "search"
    assert page(["auth-failed"]) == page(["ipsec.auth-failed"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ipsec.auth-fialed", "ipsec.auth-failed"),
        ("auht-failed", "ipsec.auth-failed"),
        ("NO_SOKCET", "NO_SOCKET"),
        ("xfrm_imput", "xfrm_input"),
        ("ListenDorps", "TcpExtListenDrops"),
    ],
)
def test_a_name_that_means_nothing_brings_those_that_are_close(name: str, hint: str) -> None:
    with pytest.raises(WrongUsage) as raised:
        page([name])
    assert hint in raised.value.hint
    assert name in raised.value.message


@pytest.mark.parametrize("words", [["qqqqqqqqqqqq"], ["...."], ["zzz", "yyy"]])
def test_words_that_nothing_is_close_to_bring_the_list(words: list[str]) -> None:
    with pytest.raises(WrongUsage) as raised:
        page(words)
    assert raised.value.hint == "whydrop explain lists what there is"
    with pytest.raises(WrongUsage):
        page([""])
