"""strongSwan's daemon in a namespace of the guest: configuration, sockets and log in a directory of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scenarios.namespaces import Namespace
from scenarios.waiting import eventually

DAEMON, TALKER = "/usr/sbin/charon-systemd", "/usr/sbin/swanctl"
SETTINGS = """
charon-systemd {{
    load = random nonce aes sha1 sha2 hmac kdf gmp kernel-netlink socket-default vici
    install_routes = no
    install_virtual_ip = no
    plugins {{
        vici {{
            socket = unix://{home}/vici
        }}
    }}
    filelog {{
        log {{
            path = {home}/log
            default = 1
            flush_line = yes
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Daemon:
    """It runs, and does what is asked of it by swanctl."""

    end: Namespace
    home: Path

    def ask(self, words: str, *, check: bool = True) -> str:
        """What swanctl says; with `check` a refusal shows the daemon's log."""
        command = ["ip", "netns", "exec", self.end.name, TALKER, *words.split()]
        command += ["--uri", f"unix://{self.home}/vici"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment(self.home)
        )
        assert done.returncode == 0 or not check, f"swanctl {words}: {done.stderr}\n{self.log()}"
        return done.stdout + done.stderr

    def load(self, connections: str) -> None:
        """`connections` is the text of a swanctl.conf."""
        Path(self.home, "swanctl.conf").write_text(connections)
        self.ask(f"--load-all --noprompt --file {self.home}/swanctl.conf")

    def log(self) -> str:
        """The end of what it wrote."""
        return Path(self.home, "log").read_text()[-3000:]


@contextmanager
def running(end: Namespace, home: Path) -> Iterator[Daemon]:
    """Until the end of the block; `home` is empty and nobody else's."""
    Path(home, "strongswan.conf").write_text(SETTINGS.format(home=home))
    command = ["ip", "netns", "exec", end.name, DAEMON]
    with Path(home, "output").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(home)
        )
    try:
        eventually(Path(home, "vici").exists, f"strongSwan starts in {end.name}")
        yield Daemon(end, home)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "STRONGSWAN_CONF": f"{home}/strongswan.conf", "SWANCTL_DIR": str(home)}
