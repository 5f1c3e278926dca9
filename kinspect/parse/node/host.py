"""The JSON of ``ip addr``, ``route``, ``rule`` and ``nexthop``, and sysctl output, to a Host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

import msgspec

from kinspect.errors import SnapshotError
from kinspect.model.host import (
    Host,
    Link,
    LinkAddress,
    Network,
    NextHop,
    PolicyRule,
    Route,
    RouteType,
    Span,
    any_network,
)  # fmt: skip
from kinspect.model.packet import PROTOCOLS, Address
from kinspect.parse.node.ipset import read_ipset
from kinspect.snapshot import types as names
from kinspect.snapshot.types import Files

T = TypeVar("T")


class _AddrInfo(msgspec.Struct):
    local: str | None = None
    prefixlen: int | None = None
    scope: str = "global"
    secondary: bool = False
    temporary: bool = False
    deprecated: bool = False
    address: str | None = None  # the peer of a point-to-point address


class _LinkInfo(msgspec.Struct):
    info_kind: str | None = None
    info_data: Any = None


class _Link(msgspec.Struct):
    ifname: str | None = None
    flags: list[str] = []
    master: str | None = None
    group: Any = None
    link_netnsid: Any = None
    promiscuity: Any = None  # with -d only
    linkinfo: _LinkInfo | None = None
    addr_info: list[_AddrInfo] = []


class _Via(msgspec.Struct):
    host: str | None = None


class _NextHop(msgspec.Struct):
    dev: str | None = None
    gateway: str | None = None
    via: _Via | None = None
    weight: int = 1
    flags: list[str] = []


class _Member(msgspec.Struct):
    id: int
    weight: int = 1


class _NextHopObject(_NextHop):
    id: int = 0
    blackhole: Any = msgspec.UNSET
    group: list[_Member] = []


class _Route(msgspec.Struct):
    dst: str | None = None
    type: str = "unicast"
    table: str | int = "main"
    dev: str | None = None
    gateway: str | None = None
    via: _Via | None = None
    prefsrc: str | None = None
    pref: str | None = None  # of IPv6 only
    metric: int = 0
    tos: str | None = None
    source: str | None = msgspec.field(name="from", default=None)
    scope: str | int = "global"
    protocol: str | int | None = None  # None: boot, of ip itself
    flags: list[str] = []
    nhid: int | None = None
    nexthops: list[_NextHop] = []


class _Rule(msgspec.Struct):
    priority: int = 0
    src: str = "all"
    srclen: int | None = None
    dst: str = "all"
    dstlen: int | None = None
    table: str | int | None = None
    action: str | None = None
    fwmark: str | None = None
    fwmask: str | None = None
    iif: str | None = None
    oif: str | None = None
    tos: str | None = None
    ipproto: str | int | None = None
    sport: int | None = None
    sport_start: int | None = None
    sport_end: int | None = None
    dport: int | None = None
    dport_start: int | None = None
    dport_end: int | None = None
    uid_start: int | None = None
    uid_end: int | None = None
    suppress_prefixlen: int | None = None
    suppress_ifgroup: str | int | None = None
    goto: str | int | None = None
    # Flags, which iproute2 prints as null if they are set.
    not_: Any = msgspec.field(name="not", default=msgspec.UNSET)
    nop: Any = msgspec.UNSET
    l3mdev: Any = msgspec.UNSET


# Of a rule, but not a condition: who made it, and what realm it gives.
_REMARKS = frozenset(
    {"protocol", "flow", "flow_from", "flow_to", "unresolved", "iif_detached", "oif_detached"}
)
_CONDITIONS = frozenset(field.encode_name for field in msgspec.structs.fields(_Rule)) | _REMARKS

_TYPES: dict[str, RouteType] = {
    "unicast": "unicast", "local": "local", "broadcast": "broadcast", "multicast": "multicast",
    "anycast": "anycast", "blackhole": "blackhole", "unreachable": "unreachable", "prohibit": "prohibit",
    "throw": "throw", "nat": "nat",
}  # fmt: skip


def read_host(name: str, files: Files, node_addresses: Iterable[str] = ()) -> tuple[Host, list[str]]:
    """The host of a node's files, and notes on what came from elsewhere.

    Without ``ip -j addr`` the addresses are those that the API gives the node. Raises
    SnapshotError if a file exists but cannot be read.
    """
    notes = []
    links = None
    if names.IP_ADDR in files:
        links = _links(_decode(files, names.IP_ADDR, list[_Link], name), name)
        addresses: frozenset[Address] | None = frozenset(
            a.address for link in links.values() for a in link.addresses
        )
    else:
        known = [a for text in node_addresses for a in _addresses(text)]
        addresses = frozenset(known) if known else None
        if addresses is not None:
            notes.append(f"no {names.IP_ADDR}: only the addresses that the API or --local names are known")
    next_hops = _next_hops(files, name)
    routes: list[Route] | None = None
    for file in (names.IP_ROUTE, names.IP6_ROUTE):
        if file in files and not (
            routes and file == names.IP6_ROUTE and any(r.destination.version == 6 for r in routes)
        ):
            version = 6 if file == names.IP6_ROUTE else 4
            read = _decode(files, file, list[_Route], name)
            routes = [*(routes or ()), *(r for i in read for r in _routes(i, version, name, file, next_hops))]
    if routes is None:
        notes.append(f"no {names.IP_ROUTE}: the interfaces by which packets enter and leave are not known")
    rules = {}
    for version, file in ((4, names.IP_RULE), (6, names.IP6_RULE)):
        if file in files:
            read_rules = _decode(files, file, list[dict[str, Any]], name)
            rules[version] = [_policy_rule(item, version, name, file) for item in read_rules]
    host = Host(
        name=name,
        addresses=addresses,
        links=links,
        routes=routes,
        rules=rules,
        sets=read_ipset(files[names.IPSET], source=f"{name}/{names.IPSET}") if names.IPSET in files else None,
        sysctls=_sysctls(files.get(names.SYSCTL)),
    )
    return host, notes


def _decode(files: Files, file: str, of: type[T], node: str) -> T:
    data = files[file]
    try:
        return msgspec.json.decode(data or b"[]", type=of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(node, file, str(error)) from error


def _unreadable(node: str, file: str, why: str) -> SnapshotError:
    return SnapshotError(f"nodes/{node}/{file}: not what ip -j prints: {why}", hint="take the snapshot again")


def _addresses(text: str) -> list[Address]:
    try:
        return [ip_address(text)]
    except ValueError:
        return []  # a host name


def _links(items: Iterable[_Link], node: str) -> Mapping[str, Link]:
    links = {}
    for item in items:
        if item.ifname is None:
            continue
        found = []
        for info in item.addr_info:
            if info.local is None:
                continue
            try:
                own = ip_address(info.local)
                # Of a point-to-point address the network is the peer's.
                far = own if info.address is None else ip_address(info.address)
                length = far.max_prefixlen if info.prefixlen is None else info.prefixlen
                network = ip_network(f"{far}/{length}", strict=False)
            except ValueError as error:
                raise _unreadable(node, names.IP_ADDR, str(error)) from error
            secondary = info.secondary or info.temporary
            found.append(LinkAddress(own, network, info.scope, secondary, info.deprecated))
        links[item.ifname] = Link(
            item.ifname,
            tuple(found),
            item.master,
            _kind(item),
            "LOOPBACK" in item.flags,
            carrier=_carrier(item.flags),
            group=None if item.group is None else str(item.group),
            elsewhere=item.link_netnsid is not None,
            leads="MASTER" in item.flags,
            calls_iptables=_calls_iptables(item.linkinfo),
        )
    return links


def _kind(item: _Link) -> str | None:
    """What ``ip -d`` calls a link, or nothing for one without a kind; None if it was not read."""
    if item.linkinfo is not None and item.linkinfo.info_kind is not None:
        return item.linkinfo.info_kind
    return None if item.promiscuity is None else ""


def _carrier(flags: list[str]) -> bool | None:
    if "NO-CARRIER" in flags:
        return False
    return True if "LOWER_UP" in flags else None


def _calls_iptables(info: _LinkInfo | None) -> bool:
    data = info.info_data if info is not None else None
    return isinstance(data, dict) and data.get("nf_call_iptables") == 1


def _network(text: str, version: int) -> Network:
    if text in ("default", "all"):
        return any_network(version)
    return ip_network(text, strict=False)


def _next_hops(files: Files, node: str) -> Mapping[int, Sequence[NextHop]]:
    """The next hops of each object of ``ip nexthop``, by its number; none of one that is a blackhole."""
    if names.IP_NEXTHOP not in files:
        return {}
    items = {item.id: item for item in _decode(files, names.IP_NEXTHOP, list[_NextHopObject], node)}
    found: dict[int, Sequence[NextHop]] = {}
    try:
        for item in items.values():
            if item.group:
                members = [(items[m.id], m.weight) for m in item.group if m.id in items]
                found[item.id] = [_next_hop(member, weight) for member, weight in members]
            elif item.blackhole is not msgspec.UNSET:
                found[item.id] = []
            else:
                found[item.id] = [_next_hop(item, 1)]
    except ValueError as error:
        raise _unreadable(node, names.IP_NEXTHOP, str(error)) from error
    return found


def _next_hop(item: _NextHop, weight: int) -> NextHop:
    gateway = item.gateway or (item.via.host if item.via else None)
    return NextHop(
        item.dev,
        ip_address(gateway) if gateway else None,
        weight,
        "linkdown" in item.flags,
        "dead" in item.flags,
    )


def _routes(
    item: _Route, version: int, node: str, file: str, next_hops: Mapping[int, Sequence[NextHop]]
) -> Iterable[Route]:
    """The route of one entry; none for an entry of another kind."""
    if item.dst is None or item.type not in _TYPES:
        return
    kind = _TYPES[item.type]
    try:
        alone = _NextHop(item.dev, item.gateway, item.via, flags=item.flags)
        ways = [_next_hop(way, way.weight) for way in item.nexthops or [alone]]
        if item.nhid is not None and item.nhid in next_hops and ways[0].dev is None:
            ways = list(next_hops[item.nhid])
            if not ways:
                kind, ways = "blackhole", [NextHop()]
        if item.dst == "default":
            # ``ip route show table all`` lists both families, and a default route does not name its own.
            gateway = ways[0].gateway
            version = gateway.version if gateway and not item.via else 6 if item.pref else version
        first = ways[0]
        yield Route(
            destination=_network(item.dst, version),
            type=kind,
            table=str(item.table),
            dev=first.dev,
            gateway=first.gateway,
            prefsrc=ip_address(item.prefsrc) if item.prefsrc else None,
            metric=item.metric,
            tos=int(item.tos, 0) if item.tos else 0,
            source=_network(item.source, 6) if item.source else None,
            scope=str(item.scope),
            by_kernel=item.protocol == "kernel",
            linkdown=first.linkdown,
            dead=first.dead,
            several=tuple(ways) if len(ways) > 1 else (),
        )
    except ValueError as error:
        raise _unreadable(node, file, str(error)) from error


def _policy_rule(entry: dict[str, Any], version: int, node: str, file: str) -> PolicyRule:
    """One rule. An unknown word may be a condition, so whether the rule applies is not known either."""
    try:
        item = msgspec.convert(entry, _Rule)
        unread = [f"{key} {value}" for key, value in entry.items() if key not in _CONDITIONS]
        protocol = _protocol(item.ipproto)
        if item.ipproto is not None and protocol is None:
            unread.append(f"ipproto {item.ipproto}")
        mark = None
        if item.fwmark is not None:
            mark = (int(item.fwmark, 0), int(item.fwmask, 0) if item.fwmask else 0xFFFFFFFF)
        action = item.action or "lookup"
        if item.goto is not None:
            action = "goto"
        elif item.nop is not msgspec.UNSET:
            action = "nop"
        elif action not in _ACTIONS:
            unread.append(f"action {action}")
        group = item.suppress_ifgroup
        return PolicyRule(
            priority=item.priority,
            table=str(item.table if item.table is not None else "main"),
            src=_prefix(item.src, item.srclen, version),
            dst=_prefix(item.dst, item.dstlen, version),
            mark=mark,
            iif=item.iif,
            oif=item.oif,
            tos=int(item.tos, 0) if item.tos else None,
            protocol=protocol,
            sport=_span(item.sport, item.sport_start, item.sport_end),
            dport=_span(item.dport, item.dport_start, item.dport_end),
            uids=_span(None, item.uid_start, item.uid_end),
            l3mdev=item.l3mdev is not msgspec.UNSET,
            inverted=item.not_ is not msgspec.UNSET,
            action=action,
            target=int(str(item.goto)) if str(item.goto).isdecimal() else None,
            suppress_prefix=item.suppress_prefixlen,
            suppress_group=None if group is None else str(group),
            undecidable=", ".join(unread) or None,
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise _unreadable(node, file, str(error)) from error


_ACTIONS = frozenset({"lookup", "blackhole", "unreachable", "prohibit"})


def _protocol(word: str | int | None) -> int | None:
    """The number of a protocol, named or not."""
    if word is None:
        return None
    text = str(word).removeprefix("ipproto-")
    return int(text) if text.isdecimal() else PROTOCOLS.get(text.lower())


def _span(single: int | None, first: int | None, last: int | None) -> Span | None:
    if single is not None:
        return single, single
    if first is None:
        return None
    return first, first if last is None else last


def _prefix(text: str, length: int | None, version: int) -> Network | None:
    if text in ("all", "default"):
        return None
    return _network(text if length is None else f"{text}/{length}", version)


def _sysctls(data: bytes | None) -> dict[str, str]:
    found = {}
    for line in (data or b"").decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key.strip()] = value.strip()
    return found
