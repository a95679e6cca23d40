"""Other addresses: always the same, alike where the real ones are alike, the same kind, also in texts."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from dropwatch.recording.addresses import Anonymizer

OTHER = Anonymizer(b"k" * 32)


def common(one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address) -> int:
    """How many bits two addresses begin with that are the same."""
    return one.max_prefixlen - (int(one) ^ int(other)).bit_length()


@pytest.mark.parametrize("kind", [IPv4Address, IPv6Address])
def test_what_two_addresses_share_is_shared_by_what_stands_for_them(
    kind: type[IPv4Address] | type[IPv6Address],
) -> None:
    source = random.Random(1)
    bits = 32 if kind is IPv4Address else 128
    for _ in range(300):
        one = kind(source.getrandbits(bits))
        other = kind(int(one) ^ source.getrandbits(source.randrange(1, bits)))
        assert common(OTHER.address(one), OTHER.address(other)) == common(one, other)


def test_another_key_gives_other_addresses() -> None:
    address = ip_address("198.51.100.7")
    assert OTHER.address(address) == Anonymizer(b"k" * 32).address(address)
    assert len({Anonymizer(bytes((n,)) * 32).address(address) for n in range(20)}) > 15


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "127.0.0.1", "224.0.0.251", "255.255.255.255", "255.255.0.0", "::", "::1", "ff02::1"]
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert str(OTHER.address(ip_address(text))) == text
    assert OTHER.text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    ],
)
def test_the_kind_of_an_address_stays(text: str) -> None:
    network, source = ip_network(text), random.Random(2)
    for _ in range(50):
        inside = network[source.randrange(network.num_addresses)]
        assert OTHER.address(inside) in network
        bit = source.randrange(inside.max_prefixlen - network.prefixlen, inside.max_prefixlen)
        outside = type(inside)(int(inside) ^ 1 << bit)
        assert OTHER.address(outside) not in network


def test_an_ipv4_address_inside_one_of_ipv6() -> None:
    inside = OTHER.address(ip_address("198.51.100.7"))
    assert OTHER.address(ip_address("::ffff:198.51.100.7")) == ip_address(f"::ffff:{inside}")
    assert OTHER.address(ip_address("64:ff9b::198.51.100.7")) == ip_address(f"64:ff9b::{inside}")


A4, A6 = (str(OTHER.address(ip_address(text))) for text in ("10.9.0.1", "2001:db8::1"))
N4 = str(OTHER.network(ip_network("10.9.0.0/16")))
MAC = OTHER.packed(bytes.fromhex("0a1122334455")).hex(":")


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("src 10.9.0.1 dst 10.9.0.1", f"src {A4} dst {A4}"),
        ("10.9.0.1:5000, (10.9.0.1). 10.9.0.1", f"{A4}:5000, ({A4}). {A4}"),
        ("10.9.0.1-10.9.0.1", f"{A4}-{A4}"),
        ("-s 10.9.0.0/16 -d 10.9.0.1/32", f"-s {N4} -d {A4}/32"),
        ("-s 10.9.0.0/255.255.0.0", f"-s {N4.removesuffix('/16')}/255.255.0.0"),
        ("10.9.0.1/16", f"{A4}/16"),
        ("[2001:db8::1]:53 2001:db8::1, ether saddr 0a:11:22:33:44:55", f"[{A6}]:53 {A6}, ether saddr {MAC}"),
        ("ends in 2001:db8::1: so", f"ends in {A6}: so"),
        ("-s a:11:22:33:44:55 -j DROP", f"-s {MAC.replace(':0', ':').removeprefix('0')} -j DROP"),
        ("allow\\x0910.9.0.1\\x0a2001:db8::1", f"allow\\x09{A4}\\x0a{A6}"),
        ("from_10.9.0.1_2001:db8::1", f"from_{A4}_{A6}"),
        ("1:2:3:4:5:6:7 now", "1:2:3:4:5:6:7 now"),
        ("2001:db8::1/128 is it", f"{A6}/128 is it"),
        ("01:00:5e:00:00:fb ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb ff:ff:ff:ff:ff:ff"),
        (
            "at 12:34:56 in std::vector, 1.2.3, spi 0x0a090001",
            "at 12:34:56 in std::vector, 1.2.3, spi 0x0a090001",
        ),
        ("999.1.1.1 1.2.3.4.5 ::: 1:2:3", "999.1.1.1 1.2.3.4.5 ::: 1:2:3"),
    ],
)
def test_addresses_in_texts(text: str, other: str) -> None:
    assert OTHER.text(text) == other


def test_a_network_in_a_text_holds_its_hosts() -> None:
    network = ip_network(OTHER.text("2001:db8:1::/48"))
    assert OTHER.address(ip_address("2001:db8:1:2::3")) in network


def test_kernel_addresses_do_not_tell_where_the_kernel_is() -> None:
    assert OTHER.kernel_address(0) == 0
    found = OTHER.kernel_address(0xFFFFFFFF81000010)
    assert found == OTHER.kernel_address(0xFFFFFFFF81000010) != OTHER.kernel_address(0xFFFFFFFF81000011)
    assert found >> 56 == 0xFF
    assert found != 0xFFFFFFFF81000010
