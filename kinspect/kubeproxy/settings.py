"""kube-proxy's settings, as a node's own rules show them.

None of them is in the API, but each shows in the rules that kube-proxy writes: so they are read
there, with the rule that shows each. Old releases write other rules: see ``older_form``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from kinspect.kubeproxy import names
from kinspect.model.packet import Family
from kinspect.model.rules import ChainName, Ruleset, TableName

Comments = Literal["endpoint", "name"]

MARK: Final = 0x4000
LOCALNET: Final = "block incoming localnet connections"
INVALID_COUNTER: Final = "ct_state_invalid_dropped_pkts"
LOCALHOST_COUNTER: Final = "localhost_nps_accepted_pkts"
LOOPBACK: Final[Mapping[Family, str]] = {4: "127.0.0.0/8", 6: "::1/128"}

_SAMPLES: Final = 50  # service ports that are searched until one shows the setting
_CLUSTER_IP: Final = re.compile(r' --comment "?[^"]* cluster IP"? .*-j (KUBE-SV[CL]-\S+)$')
_TO_MASQ: Final = re.compile(r" cluster IP.* -j KUBE-MARK-MASQ$")
_NOT_LOCAL: Final = re.compile(r" ! (-[si]) (\S+) ")
_IF_LOCAL: Final = re.compile(r"^-A \S+ (-[si]) (\S+) .*\"?pod traffic for ")
_DESTINATION: Final = re.compile(r"^-A KUBE-SERVICES -d (\S+) ")
_XMARK: Final = re.compile(r"-j MARK --(?:set-xmark|or-mark) (0x[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Detector:
    """How kube-proxy distinguishes pods of the node or cluster from others: ``-s CIDR`` or ``-i NAME``."""

    option: Literal["-s", "-i"]
    value: str

    def __str__(self) -> str:
        return f"{self.option} {self.value}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A setting in words, and the rule that shows it; None: no rule does, so it is the default."""

    setting: str
    value: str
    rule: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """kube-proxy's settings for one family on one node, as far as its rules depend on them.

    ``node_port_addresses``: the addresses that NodePorts are served at; None: all of the node's.
    """

    family: Family
    mark: int = MARK
    masquerade_all: bool = False
    detector: Detector | None = None
    detector_known: bool = True  # False: no rule shows whether there is one
    node_port_addresses: tuple[str, ...] | None = None
    localhost_node_ports: bool = True
    localnet_rule: bool = True  # of KUBE-FIREWALL; older kubelets write the same
    localhost_counter: bool = True  # nfacct works, and counts NodePorts reached by 127.0.0.1
    invalid_rule: bool = True  # absent when conntrack is liberal
    invalid_counter: bool = True
    random_fully: bool = True
    comments: Comments = "endpoint"
    evidence: tuple[Evidence, ...] = field(default=(), compare=False)


def settings_of(rules: Ruleset) -> Settings:
    """The settings that a node's rules show."""
    reader = _Reader(rules)
    family = rules.family
    mark, mark_rule = reader.mark()
    masquerade_all, detector, known, detector_rule = reader.masquerading()
    addresses, tail = reader.node_port_addresses()
    localhost = reader.localhost(addresses, tail) if family == 4 else False
    localnet = reader.first("filter", names.FIREWALL, LOCALNET)
    invalid = reader.first("filter", names.FORWARD, "--ctstate INVALID")
    masquerade = reader.first("nat", names.POSTROUTING, "-j MASQUERADE")
    counted, counted_rule = reader.localhost_counter(localhost, invalid)
    comments, comment_rule = reader.comments()
    shown_addresses = "all of the node's" if addresses is None else ", ".join(addresses)
    shown_detector = "not known" if not known else "none" if detector is None else str(detector)
    return Settings(
        family=family,
        mark=mark,
        masquerade_all=masquerade_all,
        detector=detector,
        detector_known=known,
        node_port_addresses=addresses,
        localhost_node_ports=localhost,
        localnet_rule=localnet is not None,
        localhost_counter=counted,
        invalid_rule=invalid is not None,
        invalid_counter=invalid is not None and "-m nfacct" in invalid,
        random_fully=masquerade is None or "--random-fully" in masquerade,
        comments=comments,
        evidence=(
            Evidence("masquerade mark", f"{mark:#x}", mark_rule),
            Evidence("masqueradeAll", _yes(masquerade_all), detector_rule),
            Evidence("local detector", shown_detector, detector_rule),
            Evidence("nodePortAddresses", shown_addresses, tail[-1] if tail else None),
            Evidence("localhostNodePorts", _yes(localhost), localnet or (tail[-1] if tail else None)),
            Evidence("nfacct counters", _yes(counted), counted_rule),
            Evidence("conntrack.tcpBeLiberal", _yes(invalid is None), invalid),
            Evidence("random-fully", _yes(masquerade is None or "--random-fully" in masquerade), masquerade),
            Evidence("comments on endpoints", comments, comment_rule),
        ),
    )


def _yes(value: bool) -> str:
    return "true" if value else "false"


@dataclass
class _Reader:
    """Settings that single rules of a ruleset show. Texts, not parsed rules: chains are many."""

    rules: Ruleset

    def texts(self, table: str, chain: str) -> Sequence[str]:
        """The rules of a chain; none if it does not exist."""
        found = self.rules.chain(TableName(table), ChainName(chain))
        return found.texts() if found is not None else ()

    def first(self, table: str, chain: str, words: str) -> str | None:
        """The first rule of a chain that has the words."""
        return next((text for text in self.texts(table, chain) if words in text), None)

    def mark(self) -> tuple[int, str | None]:
        """The masquerade mark."""
        for text in self.texts("nat", names.MARK_MASQ):
            found = _XMARK.search(text)
            if found:
                return int(found[1], 16), text
        return MARK, None

    def service_chains(self) -> Iterator[Sequence[str]]:
        """The rules of some service ports' chains, of those that cluster IPs lead to."""
        left = _SAMPLES
        for text in self.texts("nat", names.SERVICES):
            found = _CLUSTER_IP.search(text)
            if found:
                yield self.texts("nat", found[1])
                left -= 1
            if not left:
                return

    def masquerading(self) -> tuple[bool, Detector | None, bool, str | None]:
        """masqueradeAll, the local detector, whether that is known, and the rule that shows it."""
        always: str | None = None
        without: str | None = None
        for rules in self.service_chains():
            if not rules:
                continue
            if not _TO_MASQ.search(rules[0]):
                without = without or rules[0]
                continue
            found = _NOT_LOCAL.search(rules[0])
            if found:
                return False, _detector(found[1], found[2]), True, rules[0]
            always = rules[0]
            break
        for text in self._outside():
            found = _IF_LOCAL.match(text)
            if found:
                return always is not None, _detector(found[1], found[2]), True, always or text
            if '"masquerade LOCAL traffic for ' in text:  # the rule before it would be that for pods
                return always is not None, None, True, always or text
        if always is not None:
            return True, None, False, always
        return False, None, without is not None, without

    def _outside(self) -> Iterator[str]:
        """The first rules of chains for traffic from outside, policy Local among them."""
        left = _SAMPLES * 4
        seen: set[str] = set()
        for chain in (names.NODEPORTS, names.SERVICES):
            for text in self.texts("nat", chain):
                target = text.rpartition(" -j ")[2]
                if target.startswith(names.EXTERNAL) and target not in seen:
                    seen.add(target)
                    left -= 1
                    yield from self.texts("nat", target)[:1]
                if not left:
                    return

    def node_port_addresses(self) -> tuple[tuple[str, ...] | None, list[str]]:
        """nodePortAddresses, and the rules at the end of KUBE-SERVICES."""
        tail = [text for text in self.texts("nat", names.SERVICES)[-64:] if text.endswith(names.NODEPORTS)]
        found = [match[1] for text in tail if (match := _DESTINATION.match(text))]
        return (tuple(a.partition("/")[0] for a in found) if found else None), tail

    def localhost(self, addresses: tuple[str, ...] | None, tail: Sequence[str]) -> bool:
        """Whether NodePorts are served at 127.0.0.1."""
        if addresses is not None:
            return any(address.startswith("127.") for address in addresses)
        return not any("! -d 127.0.0.0/8" in text for text in tail)

    def localhost_counter(self, localhost: bool, invalid: str | None) -> tuple[bool, str | None]:
        """Whether NodePorts have a rule that counts packets to 127.0.0.1."""
        ports = self.texts("nat", names.NODEPORTS)
        counted = next((text for text in ports if LOCALHOST_COUNTER in text), None)
        if ports:
            return counted is not None, counted or ports[0]
        # No NodePort yet: both counters are from the same release, and work together or not at all.
        works = invalid is not None and INVALID_COUNTER in invalid
        return localhost and works, invalid

    def comments(self) -> tuple[Comments, str | None]:
        """Whether an endpoint's rule names the endpoint, or only the service port, as older releases do."""
        for rules in self.service_chains():
            for text in rules:
                if f"-j {names.ENDPOINT}" in text and "--comment" in text:
                    return ("endpoint" if " -> " in text else "name"), text
        return "endpoint", None


def _detector(option: str, value: str) -> Detector:
    return Detector("-s" if option == "-s" else "-i", value)


def older_form(rules: Ruleset) -> str | None:
    """The evidence of a release that writes other rules than ``rules`` does; None: there is none."""
    reader = _Reader(rules)
    if any(name.startswith(names.OLD_LOCAL) for name in _targets(reader.texts("nat", names.NODEPORTS))):
        return "its chains KUBE-XLB-… are those of releases before Kubernetes 1.24"
    for text in reader.texts("nat", names.SERVICES)[:_SAMPLES]:
        if text.endswith(f"-j {names.MARK_MASQ}"):
            return "KUBE-SERVICES marks for masquerading itself, as releases before Kubernetes 1.22 do"
    return None


def _targets(texts: Sequence[str]) -> Iterator[str]:
    return (text.rpartition(" -j ")[2] for text in texts[:_SAMPLES])


_WORDS: Final = {
    "mark": "masquerade mark",
    "masquerade_all": "masqueradeAll",
    "detector": "local detector",
    "localhost_node_ports": "localhostNodePorts",
    "invalid_rule": "conntrack.tcpBeLiberal",
    "node_port_addresses": "nodePortAddresses",
}


def overridden(settings: Settings, given: Mapping[str, object], source: str) -> Settings:
    """The settings, overridden by those of a configuration file; ``source`` names the file.

    A detector given with an address of the other family is left out.
    """
    values = dict(given)
    evidence = {e.setting: e for e in settings.evidence}
    for name, value in values.items():
        shown = (
            f"{value:#x}"
            if name == "mark"
            else _yes(value)
            if isinstance(value, bool)
            else str(value or "none")
        )
        if name == "invalid_rule":
            shown = _yes(not value)
        if name in _WORDS:
            evidence[_WORDS[name]] = Evidence(_WORDS[name], shown, source)
    if "detector" in values:
        values["detector_known"] = True
    if values.get("localhost_node_ports") is False:
        values |= {"localnet_rule": False, "localhost_counter": False}
    return replace(settings, evidence=tuple(evidence.values()), **values)  # type: ignore[arg-type]
