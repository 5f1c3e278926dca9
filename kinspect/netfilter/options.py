"""The options of one extension in one rule, as its module reads them.

Errors point at the option: ``parse.rules.rule`` knows its place in the line and draws the caret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal, TypeVar

from kinspect.model.packet import PROTOCOLS, Address, read_address
from kinspect.model.rules import Span

T = TypeVar("T")


ValueKind = Literal["plain", "comment", "set", "secret"]
"""What the values of an option tell of a cluster: nothing but addresses (numbers, keywords); a comment;
first the name of an ipset; names or texts that somebody gave."""


class OptionError(ValueError):
    """A value that an extension cannot read; ``word`` is the index of the offending word."""

    def __init__(self, message: str, word: int) -> None:
        super().__init__(message)
        self.message = message
        self.word = word


@dataclass(frozen=True, slots=True)
class Option:
    """One option as written: ``! --dport 80``."""

    name: str
    values: tuple[str, ...]
    inverted: bool = False
    word: int = field(default=0, compare=False)  # index of the option's word in the rule

    @property
    def value(self) -> str:
        """Its first value."""
        if not self.values:
            raise OptionError(f"expected a value after {self.name}", self.word)
        return self.values[0]

    def error(self, expected: str) -> OptionError:
        """An error that points at the value: ``expected a port number after --dport``."""
        return OptionError(f"expected {expected} after {self.name}", self.word + min(1, len(self.values)))

    def read(self, reader: Callable[[str], T], expected: str) -> T:
        """The value through a reader that raises ValueError."""
        try:
            return reader(self.value)
        except (ValueError, AddressValueError):
            raise self.error(expected) from None


@dataclass(frozen=True, slots=True)
class Options:
    """All options of one extension in one rule, in the order written."""

    written: Sequence[Option]
    word: int = 0  # index of the extension's name, for errors about what is missing
    family: int = 4
    in_rule: str | None = ""  # which rule it is; None: the same words in any rule
    extension: str = ""  # its name, such as LOG

    @property
    def rule(self) -> str:
        """Which rule it is, for what must be this rule's own. Raises OptionError if it may be any."""
        if self.in_rule is None:
            raise OptionError("these words mean something of their own in each rule", self.word)
        return self.in_rule

    def __iter__(self) -> Iterator[Option]:
        return iter(self.written)

    def words(self) -> str:
        """The extension and its options as a rule has them; values of several words in quotes."""
        parts = [self.extension]
        for option in self.written:
            values = (f'"{value}"' if " " in value or not value else value for value in option.values)
            parts += [*(["!"] if option.inverted else []), option.name, *values]
        return " ".join(parts)

    def get(self, *names: str) -> Option | None:
        """The last of these options in the rule, as the last one wins in iptables."""
        for option in reversed(self.written):
            if option.name in names:
                return option
        return None

    def has(self, name: str) -> bool:
        """Whether a flag was written."""
        return self.get(name) is not None

    def need(self, *names: str) -> Option:
        """The option. Raises OptionError if it is missing."""
        found = [option for option in self.written if option.name in names]
        if not found:
            raise OptionError(f"expected {' or '.join(names)}", self.word)
        if len(found) > 1:  # iptables refuses both of these
            if found[0].name == found[1].name:
                raise OptionError(f"{found[1].name} is given twice", found[1].word)
            raise OptionError(f"{found[1].name} excludes {found[0].name}", found[1].word)
        return found[0]


def integer(text: str, low: int = 0, high: int = 0xFFFFFFFF) -> int:
    """A decimal, 0x or 0-octal number in range, as iptables reads them. Raises ValueError."""
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
        raise ValueError(text)
    value = (
        int(text, 16)
        if text[:2] in ("0x", "0X")
        else int(text, 8 if text[0] == "0" and len(text) > 1 else 10)
    )
    if not low <= value <= high:
        raise ValueError(text)
    return value


def masked(text: str) -> tuple[int, int]:
    """``value[/mask]`` of 32 bits; without a mask all bits count. Raises ValueError."""
    value, slash, mask = text.partition("/")
    return integer(value), integer(mask) if slash else 0xFFFFFFFF


# Service names that iptables without -n prints for ports, from /etc/services as Debian has it; a
# dump uses numbers, so only listings and rules typed by hand need them.
SERVICES = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68,
    "tftp": 69, "http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "auth": 113, "nntp": 119, "ntp": 123,
    "epmap": 135, "loc-srv": 135, "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143,
    "imap": 143, "snmp": 161, "snmp-trap": 162, "bgp": 179, "ldap": 389, "https": 443, "microsoft-ds": 445,
    "isakmp": 500, "syslog": 514, "printer": 515, "route": 520, "submission": 587, "ipp": 631, "ldaps": 636,
    "rsync": 873, "imaps": 993, "pop3s": 995, "openvpn": 1194, "ms-sql-s": 1433, "radius": 1812, "nfs": 2049,
    "mysql": 3306, "rdp": 3389, "ms-wbt-server": 3389, "ipsec-nat-t": 4500, "sip": 5060, "postgresql": 5432,
    "mdns": 5353, "http-alt": 8080, "webcache": 8080, "amanda": 10080, "webmin": 10000, "dhcpv6-client": 546,
    "dhcpv6-server": 547, "ipsec-msft": 4500, "rtsp": 554, "ftps": 990, "sftp": 115,
}  # fmt: skip


def port(text: str) -> int:
    """A port by number or by the name of its service. Raises ValueError."""
    if text in SERVICES:
        return SERVICES[text]
    return integer(text, 0, 0xFFFF)


def port_range(text: str, separator: str = ":") -> tuple[int, int]:
    """``80``, ``1024:65535``, ``:1023`` or ``1024:``. Raises ValueError."""
    low, given, high = text.partition(separator)
    if not given:
        return port(low), port(low)
    first, last = (port(low) if low else 0), (port(high) if high else 0xFFFF)
    if first > last:
        raise ValueError(text)
    return first, last


def protocol(text: str) -> int:
    """A protocol by name or number; 0 means any. Raises ValueError."""
    if text.lower() == "all":
        return 0
    return PROTOCOLS[text.lower()] if text.lower() in PROTOCOLS else integer(text, 0, 255)


@dataclass(frozen=True, slots=True)
class Masked:
    """An address and a mask of bits, which need not be a prefix."""

    value: int
    mask: int
    version: int

    @classmethod
    def read(cls, text: str) -> Masked:
        """``10.0.0.0/8``, ``10.0.0.0/255.0.0.0``, ``fd00::/8`` or one address. Raises ValueError."""
        host, slash, mask_text = text.partition("/")
        base = read_address(host)
        bits = base.max_prefixlen
        if not slash:
            mask = (1 << bits) - 1
        elif mask_text.isdigit() and len(mask_text) <= 3:
            if int(mask_text) > bits:
                raise ValueError(text)
            mask = ((1 << bits) - 1) ^ ((1 << (bits - int(mask_text))) - 1)
        else:
            mask = int(read_address(mask_text))
        return cls(int(base) & mask, mask, base.version)

    @property
    def span(self) -> Span | None:
        """The stretch of a network; None if the mask is not a network's, its ones first."""
        everything = (1 << (32 if self.version == 4 else 128)) - 1
        rest = ~self.mask & everything
        return None if rest & (rest + 1) else (self.value, self.value | rest)

    def __str__(self) -> str:
        address = IPv4Address if self.version == 4 else IPv6Address
        return f"{address(self.value)}/{address(self.mask)}"

    def __contains__(self, candidate: Address) -> bool:
        return candidate.version == self.version and int(candidate) & self.mask == self.value
