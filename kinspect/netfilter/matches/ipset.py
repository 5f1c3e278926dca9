"""``-m set``: the packet's fields are in an ipset (kernel: xt_set.c, ip_set_core.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import AddressSet, Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.netfilter.options import Option, OptionError, Options, ValueKind, integer
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {
    "--match-set": 2, "--set": "--match-set", "--return-nomatch": 0, "--update-counters": 0,
    "--update-subcounters": 0, "--packets-eq": 1, "--packets-lt": 1, "--packets-gt": 1, "--bytes-eq": 1,
    "--bytes-lt": 1, "--bytes-gt": 1,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = {**dict.fromkeys(OPTIONS, "plain"), "--match-set": "set"}

_MOST: Final = 6  # directions


@dataclass(frozen=True, slots=True)
class InSet:
    """The set has the fields that the directions name, and the member's counters satisfy the rule."""

    name: str
    directions: tuple[str, ...]
    inverted: bool = False
    return_nomatch: bool = False
    counters: str | None = None

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the set or a field is not known, or if a rule of this walk has changed the set."""
        found = self._in(host)
        if found is None:
            return unless(self.inverted, undecided("set-member", self._question(), Input("sets", self.name)))
        changed = packet.sets_changed
        if changed and not changed.isdisjoint({self.name, *found.member_sets()}):
            return unless(self.inverted, undecided("set-member", self._question(), Input("sets", self.name)))
        held = found.holds(packet, self.directions, host, return_nomatch=self.return_nomatch)
        if held is None:
            return unless(self.inverted, undecided("set-member", self._question(), Input("sets", self.name)))
        if held != self.inverted and self.counters is not None and found.counted:
            return undecided(
                "set-member",
                f"the member of the set {self.name} has {self.counters}",
                Input("sets", self.name),
            )
        return certain(held != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The addresses and ports."""
        return f"it goes from {packet.src}, port {packet.sport}, to {packet.dst}, port {packet.dport}"

    def _in(self, host: Host) -> AddressSet | None:
        return host.sets.get(self.name) if host.sets is not None else None

    def _question(self) -> str:
        reversed_ = ", as nomatch" if self.return_nomatch else ""
        return f"the packet's {','.join(self.directions)} is in the set {self.name}{reversed_}"


def directions(option: Option) -> tuple[str, ...]:
    """The list of src and dst that follows a set's name."""
    found = tuple(option.values[1].split(",")) if len(option.values) > 1 else ()
    if not found or not set(found) <= {"src", "dst"} or len(found) > _MOST:
        raise OptionError(
            f"expected a list of src and dst after {option.name} {option.value}", option.word + 2
        )
    return found


def read(options: Options) -> InSet:
    """``--match-set NAME src,dst``, and the conditions on the member's counters."""
    option = options.need("--match-set")
    asked = []
    for other in options:
        if other.name[:4] in ("--pa", "--by"):
            count = other.read(lambda text: integer(text, 0, 0xFFFFFFFFFFFFFFFF), "a count")
            what, _, comparison = other.name[2:].partition("-")
            sign = {"eq": "other than" if other.inverted else "just", "lt": "fewer than", "gt": "more than"}
            asked.append(f"{sign[comparison]} {count} {what}")
    return InSet(
        option.value,
        directions(option),
        option.inverted,
        options.has("--return-nomatch"),
        " and ".join(asked) or None,
    )


PRINTED: Final = (printed(rf"{NOT}match-set (\S+) (\S+)", r"-m set --match-set \2 \3"),)
