"""What real nodes' dumps are written in (counted over 183 of them), and how much of it is decided."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kinspect.netfilter import registry, support
from kinspect.netfilter.support import Support

# Matches and targets by the number of rules that use them.
MATCHES = {
    "comment": 2251, "tcp": 4371, "udp": 1553, "mark": 216, "conntrack": 545, "set": 181, "addrtype": 201,
    "owner": 130, "statistic": 56, "physdev": 48, "state": 4967, "limit": 88, "multiport": 1912,
    "connmark": 9, "recent": 77, "icmp": 108, "nfacct": 3, "rpfilter": 5, "socket": 2, "mac": 4790,
    "sctp": 54, "icmp6": 43, "iprange": 36, "hl": 27, "hashlimit": 11, "pkttype": 10, "policy": 9,
    "connlimit": 8, "time": 4, "rt": 3, "string": 1,
}  # fmt: skip
TARGETS = {
    "DNAT": 366, "ACCEPT": 6987, "RETURN": 5303, "MARK": 202, "DROP": 5091, "MASQUERADE": 593, "CT": 70,
    "REJECT": 496, "REDIRECT": 38, "SNAT": 66, "CONNMARK": 33, "NFLOG": 25, "TPROXY": 7, "CHECKSUM": 21,
    "NOTRACK": 62, "NFQUEUE": 1, "LOG": 117, "TCPMSS": 7, "NETMAP": 6, "TRACE": 4,
}  # fmt: skip
# Asked for besides what was counted.
MORE_MATCHES = [
    "ttl",
    "length",
    "dscp",
    "tos",
    "realm",
    "frag",
    "ah",
    "esp",
    "dst",
    "hbh",
    "ipv6header",
    "tcpmss",
    "dccp",
    "connbytes",
    "quota",
    "u32",
    "bpf",
    "helper",
    "cgroup",
    "cpu",
    "devgroup",
    "osf",
    "ecn",
]
MORE_TARGETS = [
    "QUEUE",
    "SYNPROXY",
    "ULOG",
    "AUDIT",
    "CLASSIFY",
    "DSCP",
    "TOS",
    "TTL",
    "HL",
    "SET",
    "SECMARK",
    "CONNSECMARK",
    "RATEEST",
    "IDLETIMER",
    "TEE",
    "LED",
    "NFACCT",
]

# A rule with one of these always leaves a question; everything else here is decided or inert.
QUESTIONS = {"limit", "hashlimit", "connlimit", "connbytes", "quota", "time", "string", "u32", "bpf",
             "cgroup", "cpu", "devgroup", "osf", "socket", "realm"}  # fmt: skip
OPEN_TARGETS = {"TPROXY", "NFQUEUE", "QUEUE", "SYNPROXY"}

# Options as they were spelled, with the match or target that they came with.
OPTIONS = {
    "tcp": "--dport --sport --tcp-flags --syn",
    "mark": "--mark",
    "conntrack": "--ctstate --ctproto --ctorigdstport --ctorigsrcport --ctorigdst",
    "state": "--state",
    "set": "--match-set --set",
    "addrtype": "--dst-type --src-type --limit-iface-in --limit-iface-out --dst",
    "statistic": "--mode --probability",
    "owner": "--uid-owner --gid-owner",
    "physdev": "--physdev-is-bridged --physdev-is-in --physdev-in --physdev-out",
    "limit": "--limit --limit-burst",
    "multiport": "--dports --ports --sports",
    "connmark": "--mark",
    "recent": "--name --rsource --seconds --rcheck --reap --mask --set --update --hitcount --rdest --rttl --remove",
    "icmp": "--icmp-type",
    "icmp6": "--icmpv6-type",
    "nfacct": "--nfacct-name",
    "rpfilter": "--invert --validmark --loose --accept-local",
    "socket": "--transparent",
    "mac": "--mac-source --mac",
    "hl": "--hl-eq",
    "iprange": "--src-range --dst-range",
    "hashlimit": "--hashlimit-burst --hashlimit-mode --hashlimit-name --hashlimit-above --hashlimit-srcmask "
    "--hashlimit-htable-expire --hashlimit-upto",
    "pkttype": "--pkt-type",
    "policy": "--dir --pol",
    "connlimit": "--connlimit-above --connlimit-mask --connlimit-saddr",
    "time": "--days --timestart --timestop --monthdays",
    "string": "--string",
    "rt": "--rt-segsleft --rt-type",
    "DNAT": "--to-destination --to --random --persistent",
    "SNAT": "--to-source --random-fully",
    "MASQUERADE": "--random-fully",
    "MARK": "--set-xmark --set-mark",
    "CONNMARK": "--ctmask --nfmask --restore-mark --save-mark --set-xmark --set-mark",
    "CT": "--zone --notrack --helper",
    "REJECT": "--reject-with",
    "REDIRECT": "--to-ports --to-port",
    "NFLOG": "--nflog-group",
    "TPROXY": "--on-port --tproxy-mark --on-ip",
    "CHECKSUM": "--checksum-fill",
    "NFQUEUE": "--queue-num --queue-bypass",
    "LOG": "--log-prefix --log-level --log-ip-options --log-tcp-options --log-uid --log-tcp-sequence",
    "TCPMSS": "--clamp-mss-to-pmtu --set-mss",
    "NETMAP": "--to",
}


@pytest.mark.parametrize("name", [*MATCHES, *MORE_MATCHES])
def test_a_match_is_decided_or_a_question_with_a_reason(name: str) -> None:
    standing = support.match(name)
    assert (standing is Support.UNDECIDED) == (name in QUESTIONS)
    assert standing is not Support.UNKNOWN


@pytest.mark.parametrize("name", [*TARGETS, *MORE_TARGETS])
def test_a_target_is_decided_or_a_question_with_a_reason(name: str) -> None:
    standing = support.target(name)
    assert (standing is Support.UNDECIDED) == (name in OPEN_TARGETS)
    assert standing is not Support.UNKNOWN


def test_nearly_all_rules_of_real_dumps_are_decided() -> None:
    asked = sum(MATCHES.values()) + sum(TARGETS.values())
    left = sum(count for name, count in MATCHES.items() if support.match(name) is Support.UNDECIDED)
    left += sum(count for name, count in TARGETS.items() if support.target(name) is Support.UNDECIDED)
    print(f"decided: {1 - left / asked:.2%} of {asked} uses")
    assert left / asked < 0.005


@pytest.mark.parametrize(
    ("name", "option"), [(name, o) for name, all_ in OPTIONS.items() for o in all_.split()]
)
def test_every_option_met_is_known_by_its_extension(name: str, option: str) -> None:
    extension = registry.match(name) or registry.target(name)
    assert extension is not None
    assert extension.canonical(option) is not None


@pytest.mark.parametrize("name", registry.MATCHES)
def test_every_match_in_the_table_can_be_loaded(name: str) -> None:
    extension = registry.match(name)
    assert extension is not None
    assert set(extension.aliases.values()) <= set(extension.options)


@pytest.mark.parametrize("name", registry.TARGETS)
def test_every_target_in_the_table_can_be_loaded(name: str) -> None:
    extension = registry.target(name)
    assert extension is not None
    assert set(extension.aliases.values()) <= set(extension.options)


def test_what_nobody_has_heard_of_is_unknown() -> None:
    assert support.match("geoip") is Support.UNKNOWN
    assert support.target("KUBE-SERVICES") is Support.UNKNOWN


@pytest.mark.outside
def test_only_what_is_met_is_imported() -> None:
    code = (
        "import sys; from kinspect.netfilter import registry; registry.match('mark');"
        "print(*sorted(m for m in sys.modules if m.startswith('kinspect.netfilter.matches.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kinspect.netfilter.matches.mark"]
