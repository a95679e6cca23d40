"""A kernel that does not list its data, or keeps an address from whydrop altogether: no finding becomes wrong."""

from dataclasses import replace

import pytest
from scenarios import traffic
from scenarios.firewalls import legacy, load_modules, nft
from scenarios.namespaces import Lab

from dropwatch import live
from dropwatch.kernel import btf
from dropwatch.kernel.kallsyms import Kallsyms
from dropwatch.kernel.memory import Memory
from dropwatch.probe import kernel_numbers
from dropwatch.probe.kernel_numbers import KernelNumbers, find

NFT, LEGACY, CLOSED = 5097, 5098, 5099
TRUTH = {
    NFT: "netfilter.nft-rule",
    LEGACY: "netfilter.iptables-rule",
    CLOSED: "socket.udp-no-listener",
}
DATA = ("netns_operations", "__per_cpu_offset", "current_kprobe", "bpf_prog_active")


def test_every_address_is_found_without_a_list_of_the_kernels_data() -> None:
    """The list is the other witness. BTF has no variables on 5.10: there it is said what is less sure."""
    symbols = Kallsyms()
    if symbols.address("__per_cpu_offset") is None:
        pytest.skip("feature listed-data: this kernel lists its functions only")
    with Memory() as memory:
        array = memory.per_cpu_array()
        listed = find(symbols.address, memory, array)
        found = find(lambda name: None if name in DATA else symbols.address(name), memory, array)
        offset = memory.word(symbols.address("__per_cpu_offset") or 0)
        assert memory.value(array, 0) == (listed.per_cpu_value + offset) % 2**64
    assert listed.blind_spots == ()
    assert listed.netns_operations == symbols.address("netns_operations")
    assert listed.current_kprobe == symbols.address("current_kprobe")
    assert listed.bpf_prog_active == symbols.address("bpf_prog_active")
    if btf.vmlinux().per_cpu_offset("current_kprobe") is not None:
        assert found == listed
    else:
        assert found == replace(listed, current_kprobe=0, bpf_prog_active=0)
        (why,) = found.blind_spots
        assert why.startswith("current_kprobe is not found in this kernel: "), why


@pytest.mark.parametrize(
    ("missing", "named", "sure"),
    [
        ("netns_operations", "netns_operations", set()),  # whose sockets have the port is not known
        ("per_cpu_value", "bpf_array.pptrs", {CLOSED}),
        ("current_kprobe", "current_kprobe", {CLOSED}),
        ("bpf_prog_active", "bpf_prog_active", {CLOSED}),
        ("blackhole_mtu", "dst_blackhole_mtu", {NFT, LEGACY, CLOSED}),
    ],
)
@pytest.mark.once
def test_no_finding_becomes_wrong(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, missing: str, named: str, sure: set[int]
) -> None:
    """`sure` are those that stay certain, as they do not rest on what is missing."""

    def without(*words: object) -> KernelNumbers:
        return replace(find(*words), **{missing: getattr(KernelNumbers(), missing)})  # type: ignore[arg-type]

    monkeypatch.setattr(kernel_numbers, "find", without)
    load_modules()
    nft(lab.b, f"table inet t {{ chain c {{ type filter hook input priority -5; udp dport {NFT} drop; }} }}")
    legacy(lab.b, f"*filter\n-A INPUT -p udp -m udp --dport {LEGACY} -j DROP\n")
    with live(dport=[NFT, LEGACY, CLOSED], proto="udp", count=2 * len(TRUTH), duration=60) as run:
        traffic.datagrams(lab.a, lab.b.v4, [*TRUTH] * 2)
        found = [(one.drop.packet.dport or 0, one) for one in run]
    assert sorted(port for port, _ in found) == sorted([*TRUTH] * 2)
    for port, one in found:
        assert one.cause_id in (TRUTH[port], "unknown"), (port, one)
        if one.confidence == "certain" or port in sure:
            assert (one.cause_id, one.confidence) == (TRUTH[port], "certain"), (port, one)
    spots = [spot for spot in run.totals.blind_spots if "is not found in this kernel" in spot]
    assert [spot.partition(" is ")[0] for spot in spots] == [named]
