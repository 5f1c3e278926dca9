"""Which module reads which extension: a table, so that only those met are imported.

A module of ``matches`` or ``targets`` has ``OPTIONS`` (option name to the number of its values, or
an alias' canonical name) and ``read(options)``, which makes the frozen match or target; ``REPEATABLE``
are the options that a rule may give more than once, which iptables mostly refuses. One module
may serve several names that share their options, as ``tcp`` and ``udp`` do; ``read_NAME`` then
stands for each that differs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from kinspect.model.rules import Match, Target
from kinspect.netfilter.options import Options

MATCHES: Final[Mapping[str, str]] = {
    "addrtype": "addrtype",
    "ah": "headers",
    "bpf": "unread",
    "cgroup": "unread",
    "cluster": "unread",
    "comment": "inert",
    "connbytes": "limits",
    "connlabel": "unread",
    "connlimit": "limits",
    "connmark": "connmark",
    "conntrack": "conntrack",
    "cpu": "unread",
    "dccp": "ports",
    "devgroup": "unread",
    "dscp": "dscp",
    "dst": "headers",
    "ecn": "ecn",
    "esp": "headers",
    "eui64": "unread",
    "frag": "headers",
    "hashlimit": "limits",
    "hbh": "headers",
    "helper": "helper",
    "hl": "ttl",
    "icmp": "icmp",
    "icmp6": "icmp",
    "ipcomp": "unread",
    "iprange": "iprange",
    "ipv6header": "ipv6header",
    "ipvs": "unread",
    "length": "length",
    "limit": "limits",
    "mac": "mac",
    "mark": "mark",
    "mh": "headers",
    "multiport": "multiport",
    "nfacct": "inert",
    "osf": "unread",
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
    "string": "unread",
    "tcp": "ports",
    "tcpmss": "tcpmss",
    "time": "unread",
    "tos": "tos",
    "ttl": "ttl",
    "u32": "unread",
    "udp": "ports",
}

TARGETS: Final[Mapping[str, str]] = {
    "ACCEPT": "verdict",
    "AUDIT": "aside",
    "CHECKSUM": "aside",
    "CLASSIFY": "aside",
    "CONNMARK": "connmark",
    "CONNSECMARK": "aside",
    "CT": "ct",
    "DNAT": "nat",
    "DROP": "verdict",
    "DSCP": "tos",
    "ECN": "aside",
    "HL": "ttl",
    "HMARK": "hmark",
    "IDLETIMER": "aside",
    "LED": "aside",
    "LOG": "aside",
    "MARK": "mark",
    "MASQUERADE": "nat",
    "NETMAP": "netmap",
    "NFACCT": "aside",
    "NFLOG": "aside",
    "NFQUEUE": "queue",
    "NOTRACK": "ct",
    "QUEUE": "queue",
    "RATEEST": "aside",
    "REDIRECT": "redirect",
    "REJECT": "reject",
    "RETURN": "verdict",
    "SECMARK": "aside",
    "SET": "ipset",
    "SNAT": "nat",
    "SYNPROXY": "synproxy",
    "TCPMSS": "aside",
    "TCPOPTSTRIP": "aside",
    "TEE": "aside",
    "TOS": "tos",
    "TPROXY": "tproxy",
    "TRACE": "aside",
    "TTL": "ttl",
    "ULOG": "aside",
}


@dataclass(frozen=True, slots=True)
class Extension:
    """A match or a target by name: its options, and how they are read."""

    name: str
    options: Mapping[str, int]
    aliases: Mapping[str, str]
    read: Callable[[Options], Any]
    repeatable: Collection[str] = ()  # options that a rule may give several times

    def canonical(self, option: str) -> str | None:
        """The option's own name where this extension has it (by alias or a unique beginning)."""
        if option in self.options:
            return option
        if option in self.aliases:
            return self.aliases[option]
        if option.startswith("--") and len(option) > 3:
            # getopt takes any beginning that is not shared by two options.
            found = {name for name in self.options if name.startswith(option)}
            if len(found) == 1:
                return found.pop()
        return None


def match(name: str) -> Extension | None:
    """The match extension of that name (``-m``), or None where none is known."""
    return _load("matches", MATCHES.get(name), name)


def target(name: str) -> Extension | None:
    """The target extension of that name (``-j``), or None: a chain, or not known."""
    return _load("targets", TARGETS.get(name), name)


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
    )
