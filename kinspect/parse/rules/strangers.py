"""Recognises text that is not from iptables, and says what to give instead.

The rows are tried in order on the beginning of a text that has a line in no known form.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINNING: Final = 1 << 16
_SAVE: Final = "the output of iptables-save (as root), or of iptables-nft-save if the rules are in nft"

_TEXTS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(pattern, re.M), name, hint)
    for pattern, name, hint in (
        (
            r"^\s*table (?:ip6?|inet|arp|bridge|netdev) \S+ *\{|^\s*type (?:nat|filter|route) hook ",
            "an nft ruleset",
            "give the same rules as iptables prints them: iptables-nft-save; rules that only nft has are not followed",
        ),
        (r'\A\s*\{\s*"nftables"', "an nft ruleset, as JSON", "give the output of iptables-nft-save"),
        (
            r"^\s*(?:ipv[46]\s+\d+\s+)?(?:tcp|udp|icmp|icmpv6|sctp|unknown)\s+\d+ .*\bsrc=\S+ dst=",
            "a list of connections (conntrack -L)",
            f"it shows connections, not rules: give {_SAVE}",
        ),
        (
            r"^(?:create|add) \S+ (?:hash|bitmap|list):\S+|^create \S+ \S+ family |^Name: .*\nType: (?:hash|bitmap|list):",
            "ipsets (ipset save, ipset list)",
            f"ipsets are used by rules, but are not rules: give {_SAVE}; a capture of kinspect holds both",
        ),
        (
            r"^IP Virtual Server version|^Prot LocalAddress:Port",
            "ipvs' virtual servers (ipvsadm)",
            "kube-proxy in ipvs mode cannot be traced: kinspect follows iptables rules",
        ),
        (
            r"^(?:apiVersion|kind|metadata|items):|\A\s*[{\[]\s*\"(?:apiVersion|kind|items|metadata)\"",
            "an API object",
            f"put lists of the API in a snapshot (--snapshot); --rules takes {_SAVE}",
        ),
        (
            r"^(?:NAMESPACE +)?NAME +(?:TYPE|READY|STATUS|ENDPOINTS|ADDRESSTYPE|CLUSTER-IP|DATA|AGE)\b|^Name: +\S.*\n(?:Namespace|Labels|Roles): ",
            "output of kubectl",
            f"--rules takes {_SAVE} on a node; services are read with --context or --snapshot",
        ),
        (
            r"^(?:default|blackhole|unreachable|\d+\.\d+\.\d+\.\d+(?:/\d+)?) .*\b(?:via|dev) \S+|^\d+: \S+: <[A-Z_,0-9-]+>",
            "output of ip(8)",
            f"give {_SAVE}; addresses of the host are --local ADDRESS",
        ),
        (
            r"(?:Permission denied|you must be root|Operation not permitted)",
            "an error message: the command was run without root",
            "run it as root: sudo iptables-save",
        ),
        (
            r"(?:command not found|not found$|Couldn't load|does not exist \(do you need to insmod)",
            "an error message",
            f"give {_SAVE}",
        ),
        (
            r"\A(?:Error from server|error: |Unable to connect|The connection to the server)",
            "an error message of kubectl",
            f"give {_SAVE}",
        ),
        (r"\A\s*<(?:!DOCTYPE|html|\?xml)", "a web page", f"give its text, or {_SAVE}"),
    )
)

_BINARIES: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\xd4\xc3\xb2\xa1", "a capture of packets", "--pcap FILE traces a packet of it"),
    (b"\xa1\xb2\xc3\xd4", "a capture of packets", "--pcap FILE traces a packet of it"),
    (b"\n\r\r\n", "a capture of packets (pcapng)", "--pcap FILE traces a packet of it"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"\xfd7zXZ", "packed with xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it first"),
    (b"BZh", "packed with bzip2", "unpack it first"),
)


def stranger(text: str) -> tuple[str, str] | None:
    """What a text that is not from iptables is, and what to do; None if it is not recognised."""
    beginning = text[:_BEGINNING]
    for pattern, name, hint in _TEXTS:
        if pattern.search(beginning) is not None:
            return name, hint
    return None


def binary(data: bytes) -> tuple[str, str] | None:
    """The same for bytes that are not text."""
    if data[257:262] == b"ustar":
        return "a tar archive", "--snapshot takes archives"
    for magic, name, hint in _BINARIES:
        if data.startswith(magic):
            return name, hint
    return None
