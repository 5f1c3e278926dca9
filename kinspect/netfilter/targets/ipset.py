"""SET: adds the packet's fields to ipsets, or removes them (kernel: xt_set.c).

A later match on such a set is then undecided for the rest of the walk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import Described, Effect, Proceed
from kinspect.netfilter.matches.ipset import directions
from kinspect.netfilter.options import OptionError, Options, ValueKind

OPTIONS: Final = {
    "--add-set": 2, "--del-set": 2, "--map-set": 2, "--timeout": 1, "--exist": 0, "--map-mark": 0,
    "--map-prio": 0, "--map-queue": 0,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = {
    "--timeout": "plain",
    **dict.fromkeys(("--add-set", "--del-set", "--map-set"), "set"),
}


@dataclass(frozen=True, slots=True)
class ChangeSets:
    """The sets that change; ``maps_mark``: the packet gets a mark that a set holds for it."""

    names: frozenset[str]
    maps_mark: bool = False

    def described(self) -> Described:
        """The sets."""
        return Described(" ".join(["SET", *sorted(self.names)]))

    def act(self, packet: Packet, host: Host) -> Effect:
        """The walk goes on."""
        return Proceed(
            packet.replace(
                sets_changed=packet.sets_changed | self.names,
                mark_unknown=0xFFFFFFFF if self.maps_mark else packet.mark_unknown,
            )
        )


def read(options: Options) -> ChangeSets:
    """``--add-set``, ``--del-set``, ``--map-set``."""
    changed = set()
    for option in options:
        if option.name in ("--add-set", "--del-set", "--map-set"):
            directions(option)
            if option.name != "--map-set":
                changed.add(option.value)
    if not any(option.name.endswith("-set") for option in options):
        raise OptionError("expected --add-set, --del-set or --map-set", options.word)
    return ChangeSets(frozenset(changed), options.has("--map-set") and options.has("--map-mark"))
