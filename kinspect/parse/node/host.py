"""``ip -j addr``, ``ip -j route``, ``ip -j rule`` and sysctl output to a Host (iproute2's JSON)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, TypeVar

import msgspec

from kinspect.errors import SnapshotError
from kinspect.model.host import (
    Host,
    Link,
    LinkAddress,
    Network,
    PolicyRule,
    Route,
    RouteType,
    any_network,
)  # fmt: skip
from kinspect.model.packet import Address
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


class _Link(msgspec.Struct):
    ifname: str | None = None
    flags: list[str] = []
    master: str | None = None
    linkinfo: _LinkInfo | None = None
    addr_info: list[_AddrInfo] = []


class _NextHop(msgspec.Struct):
    dev: str | None = None
    gateway: str | None = None


class _Via(msgspec.Struct):
    host: str | None = None


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
    not_: str | None = msgspec.field(name="not", default=None)
    tos: str | None = None
    ipproto: str | None = None
    sport: Any = None
    dport: Any = None
    uid_start: Any = None
    suppress_prefixlen: Any = None
    l3mdev: Any = None
    goto: Any = None


_TYPES: dict[str, RouteType] = {
    "unicast": "unicast", "local": "local", "broadcast": "broadcast", "multicast": "multicast",
    "anycast": "anycast", "blackhole": "blackhole", "unreachable": "unreachable", "prohibit": "prohibit",
    "throw": "throw", "nat": "nat",
}  # fmt: skip


def read_host(name: str, files: Files, node_addresses: Iterable[str] = ()) -> tuple[Host, list[str]]:
    """The host of a node's files, and notes on what had to be taken from elsewhere.

    Without ``ip -j addr`` the addresses are those that the API gives the node. Raises
    SnapshotError where a file is there and cannot be read.
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
            notes.append(f"no {names.IP_ADDR}: the node's addresses are those that the API or --local names")
    routes: list[Route] | None = None
    for file in (names.IP_ROUTE, names.IP6_ROUTE):
        if file in files and not (
            routes and file == names.IP6_ROUTE and any(r.destination.version == 6 for r in routes)
        ):
            version = 6 if file == names.IP6_ROUTE else 4
            read = _decode(files, file, list[_Route], name)
            routes = [*(routes or ()), *(r for item in read for r in _routes(item, version, name, file))]
    if routes is None:
        notes.append(f"no {names.IP_ROUTE}: by which interface a packet comes or leaves is not known")
    rules = {}
    for version, file in ((4, names.IP_RULE), (6, names.IP6_RULE)):
        if file in files:
            read_rules = _decode(files, file, list[_Rule], name)
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
                prefix = ip_interface(
                    f"{info.local}/{info.prefixlen}" if info.prefixlen is not None else info.local
                )
            except ValueError as error:
                raise _unreadable(node, names.IP_ADDR, str(error)) from error
            secondary = info.secondary or info.temporary
            found.append(LinkAddress(prefix.ip, prefix.network, info.scope, secondary, info.deprecated))
        links[item.ifname] = Link(
            item.ifname,
            tuple(found),
            item.master,
            item.linkinfo.info_kind if item.linkinfo else None,
            "LOOPBACK" in item.flags,
        )
    return links


def _network(text: str, version: int) -> Network:
    if text in ("default", "all"):
        return any_network(version)
    return ip_network(text, strict=False)


def _routes(item: _Route, version: int, node: str, file: str) -> Iterable[Route]:
    """The routes of one entry: several where it has several next hops."""
    if item.dst is None or item.type not in _TYPES:
        return
    hops = item.nexthops or [_NextHop(item.dev, item.gateway)]
    try:
        via = ip_address(item.via.host) if item.via and item.via.host else None
        if item.dst == "default":
            # ``ip route show table all`` lists both families, and a default route does not name its own.
            version = ip_address(item.gateway).version if item.gateway else 6 if item.pref else version
        network = _network(item.dst, version)
        for hop in hops:
            yield Route(
                destination=network,
                type=_TYPES[item.type],
                table=str(item.table),
                dev=hop.dev or item.dev,
                gateway=ip_address(hop.gateway) if hop.gateway else via,
                prefsrc=ip_address(item.prefsrc) if item.prefsrc else None,
                metric=item.metric,
            )
    except ValueError as error:
        raise _unreadable(node, file, str(error)) from error


def _policy_rule(item: _Rule, version: int, node: str, file: str) -> PolicyRule:
    undecidable = [
        f"{key} {value}"
        for key, value in (
            ("tos", item.tos), ("ipproto", item.ipproto), ("sport", item.sport), ("dport", item.dport),
            ("uidrange", item.uid_start), ("suppress_prefixlength", item.suppress_prefixlen),
            ("l3mdev", item.l3mdev), ("goto", item.goto),
        )
        if value is not None
    ]  # fmt: skip
    try:
        mark = None
        if item.fwmark is not None:
            mark = (int(item.fwmark, 0), int(item.fwmask, 0) if item.fwmask else 0xFFFFFFFF)
        return PolicyRule(
            priority=item.priority,
            table=str(item.table if item.table is not None else "main"),
            src=_prefix(item.src, item.srclen, version),
            dst=_prefix(item.dst, item.dstlen, version),
            mark=mark,
            iif=item.iif,
            oif=item.oif,
            inverted=item.not_ is not None,
            action=item.action or "lookup",
            undecidable=", ".join(undecidable) or None,
        )
    except ValueError as error:
        raise _unreadable(node, file, str(error)) from error


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
