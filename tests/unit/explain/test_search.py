"""How the search weighs what it finds."""

from dropwatch.explain.search import search, tokens


def names(query: str) -> list[str]:
    return [hit.name for hit in search(query)]


def test_names_are_taken_apart_as_people_read_them() -> None:
    assert tokens("TcpExtListenDrops") == ["tcp", "ext", "listen", "drops"]
    assert tokens("SKB_DROP_REASON_NO_SOCKET") == ["skb", "drop", "reason", "no", "socket"]
    assert tokens("XfrmInNoStates rp_filter IPv6") == [
        "xfrm",
        "in",
        "no",
        "states",
        "rp",
        "filter",
        "ipv",
        "6",
    ]


def test_a_name_weighs_more_than_a_title_and_that_more_than_the_text() -> None:
    found = search("allowed ips")
    assert found[0].name == "tunnel.wireguard-allowed-ips"
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_a_word_with_capitals_is_found_in_any_spelling() -> None:
    assert set(names("selinux")) == set(names("SELinux"))
    assert "socket.security-module" in names("selinux")


def test_what_is_harmless_comes_after_what_loses_packets() -> None:
    found = [name for name in names("port scan") if name.startswith("benign.")]
    assert found
    assert not names("reset")[0].startswith("benign.")


def test_every_word_must_be_there() -> None:
    both = names("wireguard handshake")
    assert "tunnel.wireguard-no-handshake" in both
    assert "tunnel.wireguard-allowed-ips" not in both
    assert names("wireguard qqqq") == []


def test_beginnings_and_plurals_count() -> None:
    assert "socket.udp-buffer-full" in names("buff")
    assert "socket.udp-buffer-full" in names("buffers")
    assert "socket.tcp-no-listener" in names("listen")


def test_words_that_stand_together_weigh_more() -> None:
    assert "socket.tcp-no-listener" in names("connection refused")[:3]


def test_nothing_is_found_by_nothing() -> None:
    assert search("") == search("...") == []
