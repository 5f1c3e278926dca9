"""Targets that log, count, copy, or mark what no rule matches on: the packet goes on unchanged.

AUDIT, CHECKSUM, CLASSIFY (a class for tc), CONNSECMARK and SECMARK (for SELinux), ECN, IDLETIMER,
LED, LOG, NFACCT, NFLOG, RATEEST, TCPMSS and TCPOPTSTRIP (options of TCP), TEE (the copy is not
followed), TRACE, ULOG: iptables-extensions(8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.netfilter.options import Options, ValueKind
from kinspect.netfilter.printed import printed
from kinspect.netfilter.targets.nothing import Nothing

NO_EFFECT: Final = True
OPTIONS_AUDIT: Final = {"--type": 1}
OPTIONS_CHECKSUM: Final = {"--checksum-fill": 0}
OPTIONS_CLASSIFY: Final = {"--set-class": 1}
OPTIONS_CONNSECMARK: Final = {"--save": 0, "--restore": 0}
OPTIONS_ECN: Final = {"--ecn-tcp-remove": 0}
OPTIONS_IDLETIMER: Final = {"--timeout": 1, "--label": 1, "--alarm": 0, "--send_nl_msg": 0}
OPTIONS_LED: Final = {"--led-trigger-id": 1, "--led-delay": 1, "--led-always-blink": 0}
OPTIONS_LOG: Final = {
    "--log-level": 1, "--log-prefix": 1, "--log-tcp-sequence": 0, "--log-tcp-options": 0,
    "--log-ip-options": 0, "--log-uid": 0, "--log-macdecode": 0,
}  # fmt: skip
OPTIONS_NFACCT: Final = {"--nfacct-name": 1}
OPTIONS_NFLOG: Final = {
    "--nflog-group": 1, "--nflog-prefix": 1, "--nflog-range": 1, "--nflog-size": 1, "--nflog-threshold": 1,
}  # fmt: skip
OPTIONS_RATEEST: Final = {"--rateest-name": 1, "--rateest-interval": 1, "--rateest-ewmalog": 1}
OPTIONS_SECMARK: Final = {"--selctx": 1}
OPTIONS_TCPMSS: Final = {"--set-mss": 1, "--clamp-mss-to-pmtu": 0}
OPTIONS_TCPOPTSTRIP: Final = {"--strip-options": 1}
OPTIONS_TEE: Final = {"--gateway": 1, "--oif": 1}
OPTIONS_TRACE: Final[dict[str, int]] = {}
OPTIONS_ULOG: Final = {
    "--ulog-nlgroup": 1, "--ulog-prefix": 1, "--ulog-cprange": 1, "--ulog-qthreshold": 1,
}  # fmt: skip
OPTIONS: Final[dict[str, int]] = {}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(
    (
        "--type",
        "--set-class",
        "--timeout",
        "--led-delay",
        "--log-level",
        "--nflog-group",
        "--nflog-range",
        "--nflog-size",
        "--nflog-threshold",
        "--rateest-interval",
        "--rateest-ewmalog",
        "--set-mss",
        "--strip-options",
        "--gateway",
        "--oif",
        "--ulog-nlgroup",
        "--ulog-cprange",
        "--ulog-qthreshold",
    ),
    "plain",
)


def read(options: Options) -> Nothing:
    """Any of them."""
    return Nothing(options.words())


PRINTED: Final = (printed(r"LOG .*$|NFLOG .*$|nflog-.*$|TCPMSS .*$|CHECKSUM .*$|CLASSIFY .*$"),)
