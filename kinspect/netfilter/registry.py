"""Which module reads which extension: a table, so that only extensions in use are imported.

A module of ``matches`` or ``targets`` has ``OPTIONS`` (option name to the number of its values, or
an alias to its canonical name) and ``read(options)``, which makes the frozen match or target.
``REPEATABLE`` lists the options that a rule may give more than once; iptables refuses that for most.
One module may serve several names that share their options, as ``tcp`` and ``udp`` do; it then has
a ``read_NAME`` for each name that differs.

A module may also declare ``VALUES`` (what the values of its options tell of a cluster, see ``ValueKind``:
redaction replaces all that are not named there), ``ALWAYS_OPEN``, ``NO_EFFECT`` and ``PROTOCOLS`` (see
``Extension``). The type that it reads has the methods of ``model.rules`` (``Match`` or ``Target``);
without ``distinguishes``, packets that can meet it share nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from kinspect.model.rules import Match, Target
from kinspect.netfilter.options import Options, ValueKind

MATCHES: Final[Mapping[str, str]] = {
    "addrtype": "addrtype",
    "ah": "headers",
    "bpf": "always_open",
    "cgroup": "always_open",
    "cluster": "always_open",
    "comment": "always_true",
    "connbytes": "limits",
    "connlabel": "always_open",
    "connlimit": "limits",
    "connmark": "connmark",
    "conntrack": "conntrack",
    "cpu": "always_open",
    "dccp": "ports",
    "devgroup": "always_open",
    "dscp": "dscp",
    "dst": "headers",
    "ecn": "ecn",
    "esp": "headers",
    "eui64": "always_open",
    "frag": "headers",
    "hashlimit": "limits",
    "hbh": "headers",
    "helper": "helper",
    "hl": "ttl",
    "icmp": "icmp",
    "icmp6": "icmp",
    "ipcomp": "always_open",
    "iprange": "iprange",
    "ipv6header": "ipv6header",
    "ipvs": "always_open",
    "length": "length",
    "limit": "limits",
    "mac": "mac",
    "mark": "mark",
    "mh": "headers",
    "multiport": "multiport",
    "nfacct": "always_true",
    "osf": "always_open",
    "owner": "owner",
    "physdev": "physdev",
    "pkttype": "pkttype",
    "policy": "policy",
    "quota": "limits",
    "realm": "realm",
    "recent": "recent",
    "rpfilter": "rpfilter",
    "rt": "headers",
    "sctp": "ports",
    "set": "ipset",
    "socket": "socket",
    "state": "conntrack",
    "statistic": "statistic",
    "string": "always_open",
    "tcp": "ports",
    "tcpmss": "tcpmss",
    "time": "always_open",
    "tos": "tos",
    "ttl": "ttl",
    "u32": "always_open",
    "udp": "ports",
}

TARGETS: Final[Mapping[str, str]] = {
    "ACCEPT": "verdict",
    "AUDIT": "no_effect",
    "CHECKSUM": "no_effect",
    "CLASSIFY": "no_effect",
    "CONNMARK": "connmark",
    "CONNSECMARK": "no_effect",
    "CT": "ct",
    "DNAT": "nat",
    "DROP": "verdict",
    "DSCP": "tos",
    "ECN": "no_effect",
    "HL": "ttl",
    "HMARK": "hmark",
    "IDLETIMER": "no_effect",
    "LED": "no_effect",
    "LOG": "no_effect",
    "MARK": "mark",
    "MASQUERADE": "nat",
    "NETMAP": "netmap",
    "NFACCT": "no_effect",
    "NFLOG": "no_effect",
    "NFQUEUE": "queue",
    "NOTRACK": "ct",
    "QUEUE": "queue",
    "RATEEST": "no_effect",
    "REDIRECT": "redirect",
    "REJECT": "reject",
    "RETURN": "verdict",
    "SECMARK": "no_effect",
    "SET": "ipset",
    "SNAT": "nat",
    "SYNPROXY": "synproxy",
    "TCPMSS": "no_effect",
    "TCPOPTSTRIP": "no_effect",
    "TEE": "no_effect",
    "TOS": "tos",
    "TPROXY": "tproxy",
    "TRACE": "no_effect",
    "TTL": "ttl",
    "ULOG": "no_effect",
}


@dataclass(frozen=True, slots=True)
class Extension:
    """A match or a target by name: its options, and how they are read."""

    name: str
    options: Mapping[str, int]
    aliases: Mapping[str, str]
    read: Callable[[Options], Any]
    repeatable: Collection[str] = ()  # options that a rule may give several times
    values: Mapping[str, ValueKind] = field(default_factory=dict)  # of options; those not named are secret
    always_open: str | None = None  # why it always leaves a question, if it does
    no_effect: bool = False  # matches every packet, or has no effect that a trace sees
    protocols: frozenset[int] = frozenset()  # it needs one of these asked for by -p

    def canonical(self, option: str) -> str | None:
        """The canonical name for an option, an alias or a unique prefix; None: not an option."""
        if option in self.options:
            return option
        if option in self.aliases:
            return self.aliases[option]
        if option.startswith("--") and len(option) > 3:
            # getopt accepts any prefix that is not shared by two options.
            found = {name for name in self.options if name.startswith(option)}
            if len(found) == 1:
                return found.pop()
        return None


def match(name: str) -> Extension | None:
    """The match extension of that name (``-m``), or None if it is not known."""
    return _load("matches", MATCHES.get(name), name)


def target(name: str) -> Extension | None:
    """The target extension of that name (``-j``), or None: it is a chain, or not known."""
    return _load("targets", TARGETS.get(name), name)


@cache
def option_values(kind: Literal["match", "target"], name: str) -> Mapping[str, tuple[int, ValueKind]] | None:
    """The options of an extension: how many values each has, and what they tell; None: not known."""
    extension = match(name) if kind == "match" else target(name)
    if extension is None:
        return None
    own = {
        option: (arity, extension.values.get(option, "secret")) for option, arity in extension.options.items()
    }
    return {**own, **{alias: own[option] for alias, option in extension.aliases.items()}}


@cache
def _load(kind: str, module_name: str | None, name: str) -> Extension | None:
    if module_name is None:
        return None
    module = importlib.import_module(f"kinspect.netfilter.{kind}.{module_name}")
    written: Mapping[str, int | str] = (
        getattr(module, f"OPTIONS_{name}") if hasattr(module, f"OPTIONS_{name}") else module.OPTIONS
    )
    reader: Callable[[Options], Match | Target] = getattr(module, f"read_{name}", None) or module.read
    return Extension(
        name=name,
        options={option: arity for option, arity in written.items() if isinstance(arity, int)},
        aliases={option: other for option, other in written.items() if isinstance(other, str)},
        read=reader,
        repeatable=getattr(module, "REPEATABLE", ()),
        values=getattr(module, "VALUES", {}),
        always_open=getattr(module, "ALWAYS_OPEN", None),
        no_effect=getattr(module, "NO_EFFECT", False),
        protocols=getattr(module, f"PROTOCOLS_{name}", getattr(module, "PROTOCOLS", frozenset())),
    )
