"""What `whydrop explain` finds for a name."""

import pytest

from dropwatch.causes import CATALOGUE
from dropwatch.causes.explain import page
from dropwatch.errors import WrongUsage
from dropwatch.model.page import Page
from dropwatch.names import symbols


def section(found: Page, heading: str) -> dict[str, str]:
    return next(dict(one.entries) for one in found.sections if one.heading == heading)


def headings(found: Page) -> list[str]:
    return [one.heading for one in found.sections]


@pytest.mark.parametrize("name", ["ipsec.auth-failed", "IPSEC.Auth-Failed", " ipsec.auth-failed "])
def test_a_cause_in_any_case(name: str) -> None:
    found = page(name)
    assert (found.name, found.kind) == ("ipsec.auth-failed", "cause")
    assert headings(found)[:3] == ["Why", "How to confirm it", "What to do"]


def test_what_stands_in_capitals_is_explained_and_what_weakens_is_said() -> None:
    todo = next(one.text for one in page("tunnel.vxlan-unknown-vni").sections if one.heading == "What to do")
    assert "dev DEV\nwhere VNI is the network identifier" in todo
    todo = next(one.text for one in page("socket.security-module").sections if one.heading == "What to do")
    assert "permissive; this weakens security: no policy of SELinux holds" in todo


def test_a_cause_that_the_kernel_names_shows_the_reasons() -> None:
    found = page("socket.closed")
    assert set(section(found, "The kernel says so itself, with one of the drop reasons")) == {
        "TCP_CLOSE",
        "TCP_ABORT_ON_DATA",
    }
    assert "tcp_rcv_state_process" in section(found, "Packets die of it in")


def test_a_landmark_is_called_as_in_a_trace() -> None:
    text = next(one.text for one in page("ip_finish_output2").sections if one.heading == "In a trace")
    assert text == "postrouting done, resolving the next hop"


@pytest.mark.parametrize("name", ["NO_SOCKET", "no_socket", "SKB_DROP_REASON_NO_SOCKET"])
def test_a_reason_in_any_case_shows_what_it_can_mean(name: str) -> None:
    found = page(name)
    assert (found.name, found.kind) == ("NO_SOCKET", "drop reason")
    assert {"socket.udp-no-listener", "socket.tcp-no-listener"} <= set(section(found, "It can mean"))


def test_a_reason_that_settles_a_cause_says_so() -> None:
    assert section(page("IP_RPFILTER"), "It means") == {
        "routing.reverse-path": "reverse-path filter: the route back to the source uses another interface"
    }


@pytest.mark.parametrize("name", ["xfrm_input", "XFRM_INPUT", "xfrm_input.isra.0", "xfrm_input()"])
def test_a_function_in_any_spelling_shows_what_dies_there(name: str) -> None:
    found = page(name)
    assert (found.name, found.kind) == ("xfrm_input", "kernel function")
    assert "ipsec.auth-failed" in section(found, "Packets die here of")


def test_a_freeing_function_is_no_place() -> None:
    assert "Note" in headings(page("kfree_skb"))


@pytest.mark.parametrize("name", ["ipsec", "IPsec", "ipsec.*"])
def test_a_family_lists_its_causes(name: str) -> None:
    (only,) = page(name).sections
    assert [cause_id for cause_id, _ in only.entries] == [
        one.id for one in CATALOGUE if one.family == "ipsec"
    ]


def test_unknown_is_explained_too() -> None:
    assert page("unknown").headline == "whydrop does not know for sure"


def test_without_a_name_every_cause_is_listed_and_the_harmless_last() -> None:
    found = page(None)
    listed = [name for one in found.sections for name, _ in one.entries]
    assert sorted(listed) == sorted(cause.id for cause in CATALOGUE)
    assert headings(found)[-2:] == ["benign", "More"]


def test_every_name_has_a_page() -> None:
    for name in (*(cause.id for cause in CATALOGUE), *symbols.reasons(), *symbols.functions()):
        assert page(name).name == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ipsec.auth-fail", "ipsec.auth-failed"),
        ("auth-failed", "ipsec.auth-failed"),
        ("NO_SOKCET", "NO_SOCKET"),
        ("xfrm_imput", "xfrm_input"),
    ],
)
def test_a_name_that_means_nothing_brings_those_that_are_close(name: str, hint: str) -> None:
    with pytest.raises(WrongUsage) as raised:
        page(name)
    assert hint in raised.value.hint
    assert name in raised.value.message


def test_a_name_that_nothing_is_close_to_brings_the_list() -> None:
    with pytest.raises(WrongUsage) as raised:
        page("qqqqqqqqqqqq")
    assert raised.value.hint == "whydrop explain lists what there is"
