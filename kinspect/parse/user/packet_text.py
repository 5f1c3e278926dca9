"""``--packet``: a Scapy layer expression read as data, and a packet printed as one.

``IP(src="192.168.0.1",dst="192.168.0.11")/TCP(dport=31000)``: names of LAYERS, called with constants, joined
by ``/``. The text is parsed and never run; the layers are Scapy's own classes, so fields have Scapy's names
and the packet is the one Scapy would send. Differences, on purpose: no names are resolved, no host's address
or route is looked up, no field stands for several packets, and ports have no defaults of Scapy's.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from kinspect.errors import PacketError
from kinspect.model.packet import (
    CLIENT_PORT,
    ICMP,
    ICMPV6,
    OUTSIDE_CLIENT,
    SCTP,
    TCP,
    UDP,
    WITH_PORTS,
    Packet,
    TcpFlag,
    protocol_name,
)  # fmt: skip
from kinspect.parse.user.ip_headers import packet_from_ip
from kinspect.parse.user.scapy_fields import Constant, checked, shown
from kinspect.parse.user.scapy_layers import LAYERS, Layer, layer_class, silence

_LONGEST: Final = 10_000  # characters of an expression
_MOST_LAYERS: Final = 16
_HINT: Final = 'layers joined by /, such as IP(dst="192.0.2.1")/TCP(dport=80)'

Fields: TypeAlias = dict[str, Constant]


@dataclass(frozen=True, slots=True)
class _Named:
    """One layer of an expression: its name, the fields given, and its position."""

    name: str
    fields: Fields
    where: str

    @property
    def layer(self) -> Layer:
        return LAYERS[self.name]

    def error(self, message: str, hint: str | None = None) -> PacketError:
        return PacketError(f"--packet, {self.where}: {message}", hint=hint)


def packet_from_expression(text: str) -> Packet:
    """The packet of an expression.

    Defaults for fields that it leaves out: the source is 203.0.113.1 or 2001:db8::1, the source port
    40000, TCP's flags SYN, an ICMP type 8; other fields are Scapy's
    defaults. Raises PacketError: one line, with the column.
    """
    named = [_named(node, text) for node in _operands(_parsed(text), text)]
    _check_order(named)
    inner = [each for each in named if each.layer.kind != "link"]
    outer = inner[0]
    filled = _filled(inner)
    try:
        with silence() as said:
            data = bytes(_built(filled))
    except Exception as wrong:  # Scapy raises any error of its fields' code
        raise outer.error(f"Scapy cannot build this packet: {shown(str(wrong))}") from wrong
    if said:  # it leaves out what it does not understand
        raise outer.error(f"Scapy cannot build this packet: {shown(said[0])}")
    try:
        packet = packet_from_ip(data, mac_src=_mac_src(named))
    except PacketError as wrong:
        raise outer.error(wrong.message, _HINT) from wrong
    _check_protocol(filled, packet)
    return packet


def packet_to_expression(packet: Packet) -> str:
    """The packet in the form that ``packet_from_expression`` reads back to the same headers."""
    ethernet = f"Ether(src={packet.mac_src!r})/" if packet.mac_src else ""
    return ethernet + "/".join(
        f"{name}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"
        for name, fields in _layers_of(packet)
    )


def scapy_packet(packet: Packet) -> Any:
    """The packet as Scapy's, from its IP header on; ``wirelen`` is its length."""
    with silence():
        built = _built([_Named(name, fields, "") for name, fields in _layers_of(packet)])
        built.wirelen = max(packet.length or 0, len(bytes(built)))
    return built


# --- text to layers


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise PacketError(f"--packet: {len(text)} characters are too many", hint=f"at most {_LONGEST}")
    if not text.strip():
        raise PacketError("--packet: it is empty", hint=_HINT)
    stripped = text.lstrip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, on how the text is spelt
            return ast.parse(stripped, mode="eval").body
    except SyntaxError as wrong:
        indent = len(text) - len(stripped) if wrong.lineno == 1 else 0
        where = _where(wrong.lineno or 1, (wrong.offset or 1) + indent)
        raise PacketError(f"--packet, {where}: not a layer expression", hint=_HINT) from wrong
    except (ValueError, RecursionError, MemoryError) as wrong:  # null bytes, half a character, deep nesting
        raise PacketError("--packet: not a layer expression", hint=_HINT) from wrong


def _where(line: int, column: int) -> str:
    return f"column {max(column, 1)}" if line == 1 else f"line {line}, column {max(column, 1)}"


def _at(node: ast.expr, text: str) -> str:
    """Where a node begins; the parser counts bytes, people count characters."""
    stripped = text.lstrip()
    line = re.split(rb"\r\n|\r|\n", stripped.encode())[node.lineno - 1]
    indent = len(text) - len(stripped) if node.lineno == 1 else 0
    return _where(node.lineno, len(line[: node.col_offset].decode(errors="replace")) + 1 + indent)


def _source(node: ast.expr, text: str) -> str:
    return shown(ast.get_source_segment(text.lstrip(), node) or "")


def _error(node: ast.expr, text: str, message: str, hint: str | None = None) -> PacketError:
    return PacketError(f"--packet, {_at(node, text)}: {message}", hint=hint)


def _operands(node: ast.expr, text: str) -> list[ast.expr]:
    """``a/b/c`` as a list; a loop, as the left side may be deep."""
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        found.append(node.right)
        node = node.left
        if len(found) >= _MOST_LAYERS:
            raise PacketError(f"--packet: more than {_MOST_LAYERS} layers")
    return [node, *reversed(found)]


def _named(node: ast.expr, text: str) -> _Named:
    where = _at(node, text)
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        return _Named("Raw", {"load": node.value}, where)
    if isinstance(node, ast.Name) and node.id in LAYERS:
        raise _error(node, text, f"{node.id} lacks its parentheses", f"write {node.id}()")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _error(node, text, f"{_source(node, text)} is not a layer", _HINT)
    name = node.func.id
    if name not in LAYERS:
        near = get_close_matches(name, LAYERS, n=1, cutoff=0.5)
        hint = f"perhaps {near[0]}" if near else "there are " + ", ".join(LAYERS)
        raise _error(node, text, f"unknown layer {shown(name)}", hint)
    return _Named(name, _fields(name, node, text), where)


def _fields(name: str, call: ast.Call, text: str) -> Fields:
    positional = [("load", node) for node in call.args] if name == "Raw" else []
    if len(call.args) > len(positional):
        raise _error(call.args[0], text, f"a field of {name} without its name", f'{name}(field="value", …)')
    found: Fields = {}
    for field, node in [*positional, *((keyword.arg, keyword.value) for keyword in call.keywords)]:
        if field is None:
            raise _error(node, text, f"{name} takes field=value", _HINT)
        if field in found:
            raise _error(node, text, f"{name} has {field} twice")
        try:
            found[field] = checked(layer_class(name), field, _literal(node))
        except PacketError as wrong:
            raise _error(node, text, f"{name}: {wrong.message}", wrong.hint) from wrong
        except TypeError as wrong:
            what = f"{_source(node, text)} is not a constant"
            raise _error(node, text, what, "expressions are read, not run") from wrong
    return {field: value for field, value in found.items() if value is not None and value != []}


def _literal(node: ast.expr) -> Constant:
    """The constant of a node; TypeError if it is not one."""
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [_literal(each) for each in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if isinstance(value, int):
            return -value
    elif isinstance(node, ast.Constant) and not isinstance(node.value, (bool, float, complex, type(...))):
        return node.value
    raise TypeError(node)


# --- layers to a packet


def _check_order(named: list[_Named]) -> None:
    """Link layers, then an IP layer; above it what belongs to its family."""
    family: int | None = None
    for each in named:
        layer = each.layer
        if layer.kind == "network":
            family = layer.family
        elif layer.kind == "link" and family is not None:
            raise each.error(f"{each.name} cannot come after IP")
        elif layer.kind != "link" and family is None:
            raise each.error(f"{each.name} without an IP layer before it", _HINT)
        elif layer.family not in (None, family):
            raise each.error(f"{each.name} does not go over {'IP' if family == 4 else 'IPv6'}")
    if family is None:
        raise named[-1].error("there is no IP layer", _HINT)


def _filled(named: list[_Named]) -> list[_Named]:
    """The layers with kinspect's defaults; an error if one has no default."""
    found: list[_Named] = []
    fragment = False
    for each in named:
        kind, given = each.layer.kind, each.fields
        if kind == "network":
            fragment = bool(given.get("frag"))
            if "dst" not in given:
                raise each.error(f"{each.name} has no dst", f'{each.name}(dst="address")')
            given = {"src": str(OUTSIDE_CLIENT[each.layer.family or 4]), **given}
        elif kind == "extension":
            fragment = bool(given.get("offset"))
        elif each.layer.protocol in WITH_PORTS and not fragment:
            if "dport" not in given:
                raise each.error(f"{each.name} has no dport", f"{each.name}(dport=80)")
            given = {"sport": CLIENT_PORT, **given}
        found.append(_Named(each.name, given, each.where))
    return found


def _built(named: list[_Named]) -> Any:
    layers = [layer_class(each.name)(**each.fields) for each in named]
    packet = layers[0]
    for layer in layers[1:]:
        packet = packet / layer
    return packet


def _mac_src(named: list[_Named]) -> str | None:
    given = [each.fields.get("src") for each in named if each.name == "Ether"]
    return str(given[0]).lower() if given and given[0] else None


def _check_protocol(named: list[_Named], packet: Packet) -> None:
    """A header that names one protocol and carries another, or names none, is a mistake."""
    outer = named[0]
    above = next((each for each in named[1:] if each.layer.kind != "extension"), None)
    if above is not None and above.layer.protocol not in (None, packet.protocol):
        raise above.error(f"{above.name} in a packet whose protocol is {protocol_name(packet.protocol)}")
    number = "proto" if outer.name == "IP" else "nh"
    silent = not any(number in each.fields or "nh" in each.fields for each in named)
    if silent and (above is None or above.layer.kind == "payload"):
        raise outer.error("the packet has no protocol", f"add /TCP(dport=80), or {number}= to {outer.name}")


# --- a packet to layers

_ICMPV6_NAMES: Final = {
    1: "ICMPv6DestUnreach", 128: "ICMPv6EchoRequest", 129: "ICMPv6EchoReply", 133: "ICMPv6ND_RS",
    134: "ICMPv6ND_RA", 135: "ICMPv6ND_NS", 136: "ICMPv6ND_NA",
}  # fmt: skip
_TRANSPORT_BYTES: Final = {TCP: 20, UDP: 8, SCTP: 12}  # of Scapy's layer without more than ports and flags
_PORT_NAMES: Final = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
_FLAG_LETTERS: Final = "FSRPAU"  # by bit, from the lowest


def _layers_of(packet: Packet) -> list[tuple[str, Fields]]:
    """The layers with the known fields of the packet; fields with Scapy's default are left out."""
    above, size = _above(packet)
    four = packet.family == 4
    fields: Fields = {"src": str(packet.src), "dst": str(packet.dst)}
    neighbours = not four and packet.icmp_type in range(133, 137)  # their default is 255
    if packet.ttl is not None and (packet.ttl != 64 or neighbours):
        fields["ttl" if four else "hlim"] = packet.ttl
    if packet.tos:
        fields["tos" if four else "tc"] = packet.tos
    header = 20 if four else 40
    if packet.length is not None and packet.length >= header and packet.length - header != size:
        fields["len" if four else "plen"] = packet.length - (0 if four else header)
    if four:
        fields |= {"frag": 1} if packet.fragment else {}
        fields |= {"flags": "MF"} if packet.more_fragments else {}
        fields |= {} if above and above[0][0] != "Raw" else {"proto": packet.protocol}
    elif not above or above[0][0] == "Raw":
        fields["nh"] = packet.protocol
    return [("IP" if four else "IPv6", fields), *above]


def _above(packet: Packet) -> tuple[list[tuple[str, Fields]], int | None]:
    """The layers above IP, and the bytes they have; None if only building them would show it."""
    protocol, sport, dport = packet.protocol, packet.sport, packet.dport
    if packet.fragment:
        if packet.family == 4:
            return [], 0
        last: Fields = {"m": 1} if packet.more_fragments else {}
        return [("IPv6ExtHdrFragment", {"nh": protocol, "offset": 1, **last})], 8
    if protocol in WITH_PORTS and sport is not None and dport is not None:
        if protocol not in _PORT_NAMES:
            return [("Raw", {"load": sport.to_bytes(2, "big") + dport.to_bytes(2, "big")})], 4
        fields: Fields = {"sport": sport, "dport": dport}
        if packet.tcp_flags not in (None, TcpFlag.SYN):
            fields["flags"] = "".join(
                letter for bit, letter in enumerate(_FLAG_LETTERS) if packet.tcp_flags & 1 << bit
            )
        return [(_PORT_NAMES[protocol], fields)], _TRANSPORT_BYTES[protocol]
    kind, code = packet.icmp_type, packet.icmp_code
    if kind is not None and protocol == (ICMP if packet.family == 4 else ICMPV6):
        size = 8 if kind in ({0, 8} if packet.family == 4 else {128, 129}) else None
        name = "ICMP" if packet.family == 4 else _ICMPV6_NAMES.get(kind, "ICMPv6Unknown")
        typed: Fields = {"type": kind} if name in ("ICMP", "ICMPv6Unknown") else {}
        return [(name, typed | ({"code": code} if code else {}))], size
    return [], 0
