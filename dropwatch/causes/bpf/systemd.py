"""The BPF programs that systemd makes of a unit's settings, by the names that it gives them."""

from dropwatch.causes.advice import Step
from dropwatch.host.bpf.cgroups import CgroupProgram
from dropwatch.model.dataclass import dataclass
from dropwatch.model.drop import Evidence, Fix
from dropwatch.names.foreign import quoted

# What a program's name begins with (src/core/bpf-firewall.c, restrict-ifaces.bpf.c,
# socket-bind.bpf.c), and the settings it is made of.
_SETTINGS = {
    "sd_fw_": ("IPAddressAllow", "IPAddressDeny"),
    "sd_restrictif": ("RestrictNetworkInterfaces",),
    "sd_bind": ("SocketBindAllow", "SocketBindDeny"),
}
_ROOT = "-.slice"


@dataclass(frozen=True, slots=True)
class Setting:
    """`names` are of systemd.resource-control(5)."""

    unit: str
    names: tuple[str, ...]

    @property
    def is_of_addresses(self) -> bool:
        return "IPAddressDeny" in self.names

    def fixes(self, address: str) -> tuple[Fix, ...]:
        """`address` is the placeholder of the other end."""
        see = Fix(
            "see what the unit's settings permit",
            f"systemctl show -p {','.join(self.names)} {quoted(self.unit)}",
        )
        if not self.is_of_addresses:
            return (see, Fix(f"change {self.names[0]}= of the unit"))
        return (
            see,
            Step(
                "if the unit should exchange packets with this address, permit it",
                f"systemctl set-property --runtime {quoted(self.unit)} IPAddressAllow={address}",
                weakens="nothing else keeps the unit from it",
            ),
        )


def setting_of(one: CgroupProgram) -> Setting | None:
    """Systemd attaches them to the cgroup of the unit itself."""
    names = next(
        (found for begin, found in _SETTINGS.items() if (one.program.name or "").startswith(begin)), None
    )
    if names is None or one.path is None:
        return None
    return Setting(one.path.rpartition("/")[2].removeprefix("_") or _ROOT, names)


def evidence(setting: Setting | None) -> tuple[Evidence, ...]:
    if setting is None:
        return ()
    which = setting.names[-1]
    return (Evidence("name of the program", f"systemd makes it of {which}= of {setting.unit}", "owner"),)
