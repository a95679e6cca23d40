"""What WireGuard does not send: no peer for the destination, no endpoint, no handshake."""

import socket
import tempfile
from collections.abc import Iterable

import pytest
from scenarios import traffic
from scenarios.blame import deaths
from scenarios.namespaces import Lab, Namespace
from scenarios.whydrop_process import Line, Whydrop, told

SENT = 3
PORT = 5883
OWN, PEER, OUTSIDE = "10.57.0.1", "10.57.0.2", "10.57.9.9"


def interface(end: Namespace, *peers: str) -> list[str]:
    """wg0 with its addresses; the public keys of the peers. Whose private ones these are, nobody knows."""
    done = end.run("ip link add wg0 type wireguard", check=False)
    if done.returncode:
        pytest.skip(f"feature wireguard: {done.stderr}")
    own_key(end)
    keys = [end.run("wg pubkey", stdin=end.run("wg genkey").stdout).stdout.strip() for _ in peers]
    for key, words in zip(keys, peers, strict=True):
        end.run(f"wg set wg0 peer {key} {words}")
    end.configure(f"address add {OWN}/16 dev wg0", "link set wg0 up")
    return keys


def own_key(end: Namespace, *words: str) -> str:
    """A private key of the interface's own; wg reads it from a file only."""
    key = end.run("wg genkey").stdout
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(key)
        file.flush()
        end.run(f"wg set wg0 {' '.join(words)} private-key {file.name}")
    return key


def send(end: Namespace, address: str) -> list[int | None]:
    """What the kernel answers to each."""
    answers: list[int | None] = []
    with traffic.open_socket(end, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(SENT):
            try:
                sender.sendto(b"datagram", (address, PORT))
                answers.append(None)
            except OSError as error:
                answers.append(error.errno)
    return answers


def told_of(lines: Iterable[Line], cause: str, *words: str) -> list[Line]:
    found = list(lines)
    for line in found:
        assert (line["cause"]["id"], line["cause"]["confidence"]) == (cause, "likely"), told(line)
        said = " ".join(fact["text"] for fact in line["evidence"])
        assert all(word in said for word in words), told(line)
    return found


def test_no_peer_for_the_destination(lab: Lab, whydrop: Whydrop) -> None:
    lab.a.set("net/ipv6/conf/default/disable_ipv6", 1)
    far, near = interface(
        lab.a, "allowed-ips 10.57.200.0/24", f"allowed-ips {PEER}/32,10.57.8.0/24 endpoint {lab.b.v4}:51820"
    )
    send(lab.a, OUTSIDE)
    found = deaths(whydrop, lab.a, SENT, PORT)
    for line in told_of(found, "tunnel.wireguard-allowed-ips", f"{OUTSIDE} among", "10.57.8.0/24"):
        blamed = line["object"]
        assert (blamed["kind"], blamed["interface"]) == ("wireguard-peer", "wg0"), told(line)
        assert blamed["public_key"] == near != far, told(line)
        assert set(blamed["allowed_ips"]) == {f"{PEER}/32", "10.57.8.0/24"}, told(line)
        assert (blamed["endpoint"], blamed["latest_handshake"]) == (f"{lab.b.v4}:51820", None)
        _no_secrets(lab.a, line)
        command = next(fix["command"] for fix in line["fix"] if fix["command"] and " set " in fix["command"])
    lab.a.run(command.partition(f"exec {lab.a.name} ")[2])
    assert f"{OUTSIDE}/32" in lab.a.run("wg show wg0 allowed-ips").stdout, command


def test_a_peer_without_endpoint(lab: Lab, whydrop: Whydrop) -> None:
    lab.a.set("net/ipv6/conf/default/disable_ipv6", 1)
    (key,) = interface(lab.a, f"allowed-ips {PEER}/32")
    send(lab.a, PEER)
    found = deaths(whydrop, lab.a, SENT, PORT)
    for line in told_of(found, "tunnel.wireguard-no-endpoint", "and no endpoint", key[:8]):
        assert (line["object"]["public_key"], line["object"]["endpoint"]) == (key, None), told(line)
        _no_secrets(lab.a, line)


def test_a_source_that_no_peer_may_use(lab: Lab, whydrop: Whydrop) -> None:
    """Both ends have a key of the other; a speaks with an address that b does not expect of it."""
    private = {}
    for end in (lab.a, lab.b):
        end.set("net/ipv6/conf/default/disable_ipv6", 1)
        if end.run("ip link add wg0 type wireguard", check=False).returncode:
            pytest.skip("feature wireguard: this kernel has no such interface")
        private[end.name] = own_key(end, "listen-port 51820")
    keys = {name: lab.a.run("wg pubkey", stdin=key).stdout.strip() for name, key in private.items()}
    lab.a.run(f"wg set wg0 peer {keys[lab.b.name]} allowed-ips {PEER}/32 endpoint {lab.b.v4}:51820")
    lab.b.run(f"wg set wg0 peer {keys[lab.a.name]} allowed-ips 10.57.0.99/32")
    lab.a.configure(f"address add {OWN}/16 dev wg0", "link set wg0 up")
    lab.b.configure(f"address add {PEER}/16 dev wg0", "link set wg0 up")
    assert send(lab.a, PEER) == [None] * SENT
    for line in deaths(whydrop, lab.b, SENT, PORT):
        expected = "tunnel.wireguard-allowed-ips", "certain"
        assert (line["cause"]["id"], line["cause"]["confidence"]) == expected, told(line)
        assert (line["source"], line["iface"]["name"]) == ("wg_allowedips_lookup_src", "wg0"), told(line)
        assert line["object"]["public_key"] == keys[lab.a.name], told(line)
        assert line["object"]["latest_handshake"] is not None, told(line)
        assert f"the source {OWN}" in line["evidence"][0]["text"], told(line)
        assert not any(key.strip() in told(line) for key in private.values())


def test_what_waits_for_a_handshake_when_the_interface_goes_down(lab: Lab, whydrop: Whydrop) -> None:
    lab.a.set("net/ipv6/conf/default/disable_ipv6", 1)
    (key,) = interface(lab.a, f"allowed-ips {PEER}/32 endpoint {lab.b.v4}:51820")
    assert send(lab.a, PEER) == [None] * SENT
    lab.a.configure("link set wg0 down")
    found = deaths(whydrop, lab.a, SENT, PORT)
    for line in told_of(found, "tunnel.wireguard-no-handshake", "no handshake so far", key[:8]):
        assert line["object"]["public_key"] == key, told(line)
        _no_secrets(lab.a, line)


def _no_secrets(end: Namespace, line: Line) -> None:
    assert end.run("wg show wg0 private-key").stdout.strip() not in told(line)
