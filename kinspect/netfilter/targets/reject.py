"""REJECT: drops the packet and notifies its sender (iptables-extensions(8); kernel: ipt_REJECT.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, End, Verdict
from kinspect.netfilter.options import Options, ValueKind
from kinspect.netfilter.printed import printed

OPTIONS: Final = {"--reject-with": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

_ICMP: Final = (
    "icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
    "icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited",
)  # fmt: skip
_ICMP6: Final = (
    "icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable",
    "icmp6-policy-fail", "icmp6-reject-route",
)  # fmt: skip
# As iptables accepts them, by family: the full name of each type, and its short forms.
_ALIASES: Final[dict[int, dict[str, str]]] = {
    4: {
        **{name: name for name in (*_ICMP, "tcp-reset")},
        "net-unreach": _ICMP[0], "host-unreach": _ICMP[1], "proto-unreach": _ICMP[2],
        "port-unreach": _ICMP[3], "net-prohib": _ICMP[4], "host-prohib": _ICMP[5],
        "admin-prohib": _ICMP[6], "tcp-rst": "tcp-reset",
    },
    6: {
        **{name: name for name in (*_ICMP6, "tcp-reset")},
        "no-route": _ICMP6[0], "adm-prohibited": _ICMP6[1], "addr-unreach": _ICMP6[2],
        "port-unreach": _ICMP6[3], "policy-fail": _ICMP6[4], "reject-route": _ICMP6[5],
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reject:
    """Drops the packet; ``answer`` is what its sender gets, such as ``icmp-port-unreachable``."""

    answer: str | None = None

    def described(self) -> Described:
        """The answer that the sender gets."""
        return Described(f"REJECT with {self.answer}" if self.answer else "REJECT", "ends")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """REJECT."""
        return End(Verdict.REJECT, packet)


def read(options: Options) -> Reject:
    """``--reject-with``."""
    option = options.get("--reject-with")
    if option is None:
        return Reject()
    known = _ALIASES[options.family]
    begun = {full for name, full in known.items() if option.value and name.startswith(option.value.lower())}
    if option.value.lower() not in known and len(begun) != 1:
        raise option.error(
            f"a type of answer, such as {'icmp' if options.family == 4 else 'icmp6'}-port-unreachable,"
        )
    return Reject(known.get(option.value.lower()) or begun.pop())


PRINTED: Final = (printed(r"reject-with (\S+)", r"--reject-with \1"),)
