"""The demo, inside a guest: breaks an IPsec connection and lets whydrop say what happened to the datagrams in it.

Exit status 0 only if whydrop named the SA by its SPI and the failed authentication.
"""

import platform
import shlex
import subprocess
import sys
from pathlib import Path

from scenarios.namespaces import Lab, Namespace, joined_pair

WHYDROP = Path(__file__).parents[2] / ".venv" / "bin" / "whydrop"
DATAGRAMS = 7
SPI = "0x00001001"
GOOD_KEY = "0x0102030405060708090a0b0c0d0e0f1011121314"
WRONG_KEY = "0x9902030405060708090a0b0c0d0e0f1011121314"


def main() -> int:
    with joined_pair() as lab:
        a, b = lab.a, lab.b
        print(
            f"On Linux {platform.release()}: {a.name} ({a.v4}) and {b.name} ({b.v4}) are to talk through ESP."
        )
        print(f"The first digits of the key for {a.name} to {b.name} differ, so {b.name} cannot decrypt.\n")
        for end in (a, b):
            connect(lab, end)
        status, said = watch(lab)
    named = SPI in said and ("authentication failed" in said or "ipsec.auth-failed" in said)
    if status != 0 or not named:
        print(f"\ndemo: exit {status}, authentication failed for SPI {SPI}: {named}", file=sys.stderr)
        return 1
    return 0


def connect(lab: Lab, end: Namespace) -> None:
    """SAs and policies of one end. The SA from a to b is the broken one."""
    for src, dst, spi in ((lab.a, lab.b, SPI), (lab.b, lab.a, "0x00001002")):
        key = WRONG_KEY if end is lab.b and spi == SPI else GOOD_KEY
        sa = f"src {src.v4} dst {dst.v4} proto esp spi {spi} reqid 1 mode transport"
        show(end, f"ip xfrm state add {sa} aead rfc4106(gcm(aes)) {key} 128")
        way = "out" if src is end else "in"
        tmpl = "tmpl proto esp reqid 1 mode transport"
        end.run(f"ip xfrm policy add src {src.v4} dst {dst.v4} dir {way} {tmpl}")


def show(end: Namespace, command: str) -> None:
    print(f"  {end.name}# {command}", flush=True)
    end.run(command)


def watch(lab: Lab) -> tuple[int, str]:
    """Run whydrop around a sender of datagrams; what it prints is shown as it comes. Its exit status, its words."""
    send = f"for n in $(seq {DATAGRAMS}); do echo $n >/dev/udp/{lab.b.v4}/5000; done"
    command = ["ip", "netns", "exec", lab.a.name, "bash", "-c", send]
    print(f"\n# whydrop --dport 5000 -- {shlex.join(command)}\n", flush=True)
    said = []
    with subprocess.Popen(
        [WHYDROP, "--dport", "5000", "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as whydrop:
        assert whydrop.stdout is not None
        for line in whydrop.stdout:
            print(line, end="", flush=True)
            said.append(line)
    return whydrop.returncode, "".join(said)


if __name__ == "__main__":
    sys.exit(main())
