"""Chains that kube-proxy writes the same on every node, for fragments of a dump that lack them.

A grep for a service's name omits them: their rules have no comment with it. Source: ``syncProxyRules``
in pkg/proxy/iptables/proxier.go; the marks are the defaults of --iptables-masquerade-bit (14) and of
kubelet's --iptables-drop-bit (15), which are rarely changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kinspect.kubeproxy import names

_MASQUERADE, _DROP = "0x4000", "0x8000"

_RULES: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    (names.NAT, names.MARK_MASQ): (f"-j MARK --set-xmark {_MASQUERADE}/{_MASQUERADE}",),
    (names.NAT, names.MARK_DROP): (f"-j MARK --set-xmark {_DROP}/{_DROP}",),
    (names.NAT, names.POSTROUTING): (
        f"-m mark ! --mark {_MASQUERADE}/{_MASQUERADE} -j RETURN",
        f"-j MARK --set-xmark {_MASQUERADE}/0x0",
        "-j MASQUERADE --random-fully",
    ),
}

# ``default/web:http -> 10.244.0.7:8080``, since Kubernetes 1.24.
_LEADS_TO: Final = re.compile(r'--comment "[^"]* -> (\S+)"')


class Fragments:
    """Facts about kube-proxy's chains without their rules."""

    def rules(self, table: str, chain: str) -> Sequence[str] | None:
        """The rules of a chain, without its name; None if nodes differ."""
        return _RULES.get((table, chain))

    def last(self, chain: str, has: Callable[[str], bool]) -> str | None:
        """The chain that the last rule of a chain leads to: a rule without a comment to grep for.

        That of KUBE-EXT-… leads to the service's KUBE-SVL-… if its external policy is Local, else to
        its KUBE-SVC-…; ``has`` says which chains the text has.
        """
        if not chain.startswith(names.EXTERNAL):
            return None
        service = chain.removeprefix(names.EXTERNAL)
        return next((to for to in (names.LOCAL + service, names.SERVICE + service) if has(to)), None)

    def ends_packets(self, chain: str) -> bool:
        """Whether no packet comes back: an endpoint's chain ends in a DNAT rule without a condition."""
        return chain.startswith(names.ENDPOINT)

    def leads_to(self, rule: str) -> str | None:
        """The endpoint of a rule that jumps to its chain, as the rule's comment says."""
        found = _LEADS_TO.search(rule)
        return found[1] if found else None
