"""The fields of Scapy's layers: which constants one may be given, so that a single packet results.

Scapy itself accepts much more for a field: a host's name, a net, a list, a range, a random value; and it
silently cuts off what does not fit, or fails to build. Here each value is checked against the field's own
class.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeAlias

from kinspect.errors import PacketError
from kinspect.parse.user.scapy_layers import scapy_module
from kinspect.sanitise import safe

Constant: TypeAlias = "str | bytes | int | tuple[Constant, ...] | list[Constant] | None"

_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_SHOWN: Final = 40  # characters of hostile text in an error


def shown(text: str) -> str:
    """A piece of the user's text for an error: short, in one line, printable."""
    return safe(text, _SHOWN)


def checked(layer: Any, name: str, value: Constant) -> Constant:
    """The value that the field of that name can be given; PacketError (without a place) if it cannot."""
    found = {field.name: field for field in layer.fields_desc}
    if name not in found:
        raise PacketError(f"no field {shown(name)}", hint="it has " + ", ".join(found))
    return None if value is None else _checked(_bare(found[name]), name, value)


def _bare(field: Any) -> Any:
    """The field inside what makes it conditional or prints it with emphasis."""
    wrappers = scapy_module("scapy.fields")
    while isinstance(field, (wrappers.Emph, wrappers.ConditionalField)):
        field = field.fld
    return field


def _checked(field: Any, name: str, value: Constant) -> Constant:
    kinds = scapy_module("scapy.fields")
    if isinstance(field, kinds.IPField):
        return _address(IPv4Address, name, value)
    if isinstance(field, kinds.IP6Field):
        return _address(IPv6Address, name, value)
    if isinstance(field, kinds.MACField):
        if not isinstance(value, str) or not _MAC.fullmatch(value):
            raise PacketError(f"{name} is not a MAC address", hint="such as 02:00:00:00:00:01")
        return value
    if isinstance(field, kinds.FlagsField) and isinstance(value, str):
        return _flags(field.names, name, value)
    if _bits(field):
        return _number(field, name, value)
    if isinstance(field, kinds.StrField) and not isinstance(field, kinds.PacketField):
        if name in ("load", "data", "msgbody") and isinstance(value, (str, bytes)):
            return value.encode(errors="surrogateescape") if isinstance(value, str) else value
        if type(field).__name__ == "TCPOptionsField":
            return _options(name, value)
    if value in ([], b"", ""):
        return None
    raise PacketError(f"{name} cannot be given here", hint="leave it out")


def _address(kind: type[IPv4Address | IPv6Address], name: str, value: Constant) -> str:
    version = 4 if kind is IPv4Address else 6
    wrong = PacketError(
        f"{name} is not one IPv{version} address", hint="names are not resolved, and a net is not a packet"
    )
    if not isinstance(value, str) or "%" in value:
        raise wrong
    try:
        return str(kind(value))
    except ValueError as error:
        raise wrong from error


def _flags(names: str | list[str], name: str, value: str) -> str:
    given = list(value) if isinstance(names, str) else [word for word in value.split("+") if word]
    unknown = [word for word in given if word not in names]
    if unknown:
        raise PacketError(f"{name} has no {shown(unknown[0])}", hint="there are " + ", ".join(names))
    return value


def _bits(field: Any) -> int:
    """The width of an integer field; 0 for another kind."""
    kinds = scapy_module("scapy.fields")
    octets = (kinds.ByteField, kinds.ShortField, kinds.ThreeBytesField, kinds.IntField, kinds.EnumField)
    bits = (kinds.BitField, kinds.FlagsField, kinds.BitEnumField)
    return round(field.sz * 8) if isinstance(field, (*octets, *bits)) else 0


def _number(field: Any, name: str, value: Constant) -> int:
    if isinstance(value, str):
        named: object = None
        with suppress(KeyError, AttributeError, TypeError, ValueError):
            named = field.any2i(None, value)
        if not isinstance(named, int):
            raise PacketError(f"{name} does not know the name {shown(value)}", hint="give the number")
        value = named
    if not isinstance(value, int):
        raise PacketError(f"{name} is one number", hint="one packet is followed at a time")
    most = (1 << _bits(field)) - 1
    if not 0 <= value <= most:
        raise PacketError(f"{name} is out of range", hint=f"0 to {most}")
    return value


def _options(name: str, value: Constant) -> Constant:
    """TCP's options: pairs of a name and a constant. Building the packet shows whether Scapy accepts them."""
    pairs = isinstance(value, list) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], (str, int)) for pair in value
    )
    if not pairs:
        raise PacketError(f"{name} is a list of pairs", hint='such as [("MSS", 1460)]')
    return value
