"""``-m recent``: lists of addresses seen lately (kernel: xt_recent.c); kube-proxy's client affinity.

A dump does not have the entries of the lists. A trace follows a *new* client, which is on no list, and
says so. ``Packet.recent`` names the lists that a known client is on, and ``Packet.recent_now`` the
entries that earlier rules of the same walk have stamped. Whether any other address (a destination, a
translated source) is on a list is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet, Stamp, read_address
from kinspect.model.rules import Distinctions
from kinspect.netfilter.options import Option, OptionError, Options, ValueKind, integer
from kinspect.netfilter.printed import printed

OPTIONS: Final = {
    "--set": 0, "--rcheck": 0, "--update": 0, "--remove": 0, "--seconds": 1, "--reap": 0, "--hitcount": 1,
    "--rttl": 0, "--name": 1, "--rsource": 0, "--rdest": 0, "--mask": 1,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(("--seconds", "--hitcount", "--mask"), "plain")

Action = Literal["set", "rcheck", "update", "remove"]
_ALL: Final = (1 << 128) - 1
ACTIONS: Final[tuple[Action, ...]] = ("set", "rcheck", "update", "remove")


@dataclass(frozen=True, slots=True)
class Recent:
    """The address is on the list (rcheck, update, remove); or is added to it (set), which always matches.

    Entries are of addresses under ``mask``, whichever side of a packet they come from (``side``: the
    one that this rule asks about). A list has one mask, that of the first of its rules to be loaded;
    where they differ no dump tells which that is. ``by_ttl``: an entry counts for its own time to live.
    """

    name: str
    action: Action
    side: Literal["src", "dst"] = "src"
    mask: int = _ALL
    by_ttl: bool = False
    hitcount: int = 1
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Each address has an entry of its own."""
        if self.side == "src":
            return Distinctions(sources=None)
        return Distinctions(destinations=None)

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A new client is only on lists to which this walk added it; other addresses are a question."""
        if self.action == "set":
            return certain(not self.inverted)
        hits = len(self._stamps(packet))
        needed = 1 if self.action == "remove" else self.hitcount
        if hits >= needed:
            return certain(not self.inverted)
        if self._mask_counts(packet):
            question = f"the mask of the list {self.name} of -m recent, of which its rules have several, fits"
            return unless(self.inverted, undecided("recent-list", question))
        if self._of_client(packet):
            if self.name not in packet.recent:
                return certain(self.inverted)
            if hits + 1 >= needed:
                return certain(not self.inverted)
            question = f"the client has {needed} hits on the list {self.name}"
        else:
            side = "source" if self.side == "src" else "destination"
            address = getattr(packet, self.side)
            what = f"{needed} hits of {address}, the {side}," if needed > 1 else f"{address}, the {side},"
            question = f"the list {self.name} of -m recent has {what} already"
        return unless(self.inverted, undecided("recent-list", question))

    def seen(self, packet: Packet) -> str:
        """Whether the address is on the list."""
        if self.action == "set":
            return f"the client is added to the list {self.name}"
        if self._stamps(packet) or (self.name in packet.recent and self._of_client(packet)):
            return f"the client is on the list {self.name}"
        return f"a new client is not on the list {self.name}"

    def asked(self, packet: Packet, held: bool) -> Packet:
        """The packet after the match, with the entries that the lists now have."""
        stamps = self._stamps(packet)
        if self.action == "remove":
            if self._of_client(packet):
                packet = packet.replace(recent=packet.recent - {self.name})
            return packet.replace(recent_now=tuple(one for one in packet.recent_now if one not in stamps))
        listed = bool(stamps) or (self.name in packet.recent and self._of_client(packet))
        if self.action == "set" or (self.action == "update" and held and (listed or not self.inverted)):
            return packet.replace(recent_now=(*packet.recent_now, self._stamp(packet)))
        return packet

    def _stamp(self, packet: Packet) -> Stamp:
        ttl = packet.ttl
        if ttl is not None and packet.oif and not packet.local:
            ttl += 1  # as it was before forwarding
        return self.name, int(getattr(packet, self.side)), self.mask, ttl

    def _stamps(self, packet: Packet) -> list[Stamp]:
        """The entries of this walk that count for the packet."""
        own = self._stamp(packet)
        return [one for one in packet.recent_now if _one_entry(one, own) and self._fits(one, own)]

    def _fits(self, one: Stamp, own: Stamp) -> bool:
        return not self.by_ttl or one[3] == own[3] or None in (one[3], own[3])

    def _mask_counts(self, packet: Packet) -> bool:
        """Whether the packet would be on the list with the mask of another rule."""
        own = self._stamp(packet)
        return any(
            name == self.name and mask != self.mask and (address ^ own[1]) & mask & self.mask == 0
            for name, address, mask, _ in packet.recent_now
        )

    def _of_client(self, packet: Packet) -> bool:
        """Whether the address is that of the client, which a trace assumes to be new."""
        return self.side == "src" and packet.src == packet.first.src


def _one_entry(one: Stamp, other: Stamp) -> bool:
    """Whether two stamps are of one entry, for sure."""
    if one[0] != other[0]:
        return False
    return one[1] == other[1] or (one[2] == other[2] and (one[1] ^ other[1]) & one[2] == 0)


def _mask(option: Option) -> int:
    """A mask as a number; that of one address the same for both families."""
    mask = option.read(read_address, "a mask, as 255.255.255.0,")
    return _ALL if int(mask) == (1 << mask.max_prefixlen) - 1 else int(mask)


def read(options: Options) -> Recent:
    """One of the four actions, and its list."""
    for action in ACTIONS:
        option = options.get(f"--{action}")
        if option:
            name, hits = options.get("--name"), options.get("--hitcount")
            seconds, mask = options.get("--seconds"), options.get("--mask")
            if seconds:
                seconds.read(integer, "a number of seconds")
            return Recent(
                name.value if name else "DEFAULT",
                action,
                "dst" if options.has("--rdest") else "src",
                _mask(mask) if mask else _ALL,
                options.has("--rttl"),
                hits.read(lambda text: max(1, integer(text)), "a count") if hits else 1,
                option.inverted,
            )
    raise OptionError("expected --set, --rcheck, --update or --remove", options.word)


_ACTIONS: Final = {"CHECK": "rcheck", "SET": "set", "UPDATE": "update", "REMOVE": "remove"}


def _as_options(found: re.Match[str]) -> str:
    words = [f"-m recent --{_ACTIONS[found[1]]}"]
    if found[2]:
        words.append(f"--seconds {found[2]}")
    if found[3]:
        words.append(f"--hitcount {found[3]}")
    words.append(f"--name {found[4]}")
    words.append("--rdest" if found[5] == "dest" else "--rsource")
    return " ".join(words)


PRINTED: Final = (
    printed(
        r"(?:recent: )?(CHECK|SET|UPDATE|REMOVE)(?: seconds: (\d+))?(?: reap)?(?: hit_count: (\d+))?"
        r"(?: TTL-Match)? name: (\S+)(?: side: (\S+))?(?: mask: (\S+))?",
        _as_options,
    ),
)
