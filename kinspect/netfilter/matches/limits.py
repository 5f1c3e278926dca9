"""Rates and amounts: ``limit``, ``hashlimit``, ``connlimit``, ``quota``, ``connbytes``.

Kernel: xt_limit.c, xt_hashlimit.c, xt_connlimit.c, xt_quota.c, xt_connbytes.c. Earlier
packets decide, and no dump holds them: each rule is a question of its own with two answers, within
the limit or over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.model.questions import Question
from kinspect.netfilter.matches.always_open import Open
from kinspect.netfilter.options import Option, Options, ValueKind, integer
from kinspect.netfilter.printed import printed

ALWAYS_OPEN: Final = "it depends on earlier packets"
OPTIONS_limit: Final = {"--limit": 1, "--limit-burst": 1}
OPTIONS_hashlimit: Final = {
    "--hashlimit-upto": 1, "--hashlimit": "--hashlimit-upto", "--hashlimit-above": 1,
    "--hashlimit-burst": 1, "--hashlimit-mode": 1, "--hashlimit-srcmask": 1, "--hashlimit-dstmask": 1,
    "--hashlimit-name": 1, "--hashlimit-htable-size": 1, "--hashlimit-htable-max": 1,
    "--hashlimit-htable-expire": 1, "--hashlimit-htable-gcinterval": 1, "--hashlimit-rate-match": 0,
    "--hashlimit-rate-interval": 1,
}  # fmt: skip
OPTIONS_connlimit: Final = {
    "--connlimit-upto": 1, "--connlimit-above": 1, "--connlimit-mask": 1, "--connlimit-saddr": 0,
    "--connlimit-daddr": 0,
}  # fmt: skip
OPTIONS_quota: Final = {"--quota": 1}
OPTIONS_connbytes: Final = {"--connbytes": 1, "--connbytes-dir": 1, "--connbytes-mode": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(
    {*OPTIONS_limit, *OPTIONS_hashlimit, *OPTIONS_connlimit, *OPTIONS_quota, *OPTIONS_connbytes}
    - {"--hashlimit-name"},
    "plain",
)

_UNITS: Final = ("second", "minute", "hour", "day")  # iptables accepts any prefix of these


def _rate(option: Option) -> str:
    def rate(text: str) -> str:
        amount, _, unit = text.partition("/")
        digits = amount.rstrip("bkmgBKMG")
        integer(digits, 1)
        if unit and not any(name.startswith(unit) for name in _UNITS):
            raise ValueError(text)
        return text

    return option.read(rate, "a rate, such as 10/second,")


def _of(options: Options) -> str:
    return f" of {options.rule}" if options.rule else ""


def read_limit(options: Options) -> Open:
    """``--limit`` (default: 3/hour) and ``--limit-burst``."""
    rate, burst = options.get("--limit"), options.get("--limit-burst")
    text = _rate(rate) if rate else "3/hour"
    if burst:
        text += f", burst {burst.read(lambda t: integer(t, 1), 'a number of packets')}"
    return Open(Question("rate-limit", f"the packet is within the limit{_of(options)}: {text}"))


def read_hashlimit(options: Options) -> Open:
    """``--hashlimit-upto`` or ``--hashlimit-above``, per group of ``--hashlimit-mode``."""
    option = options.need("--hashlimit-upto", "--hashlimit-above")
    rate = _rate(option)
    burst, mode, name = (options.get(f"--hashlimit-{end}") for end in ("burst", "mode", "name"))
    text = f"{rate}{f', burst {burst.value}' if burst else ''}{f', by {mode.value}' if mode else ''}"
    question = f"the packet is within the limit{_of(options)}: {text}{f' ({name.value})' if name else ''}"
    return Open(Question("rate-limit", question), (option.name == "--hashlimit-upto") != option.inverted)


def read_connlimit(options: Options) -> Open:
    """``--connlimit-upto`` or ``--connlimit-above``, for the connections of a source or a destination."""
    option, mask = options.need("--connlimit-upto", "--connlimit-above"), options.get("--connlimit-mask")
    count = option.read(integer, "a number of connections")
    whose = "destination" if options.has("--connlimit-daddr") else "source"
    group = f" (of /{mask.value} networks)" if mask else ""
    question = f"the {whose}{group} is within the limit{_of(options)}: {count} connections"
    return Open(Question("rate-limit", question), (option.name == "--connlimit-upto") != option.inverted)


def read_quota(options: Options) -> Open:
    """``--quota``."""
    option = options.need("--quota")
    count = option.read(lambda text: integer(text, 0, 0xFFFFFFFFFFFFFFFF), "a number of bytes")
    return Open(
        Question("rate-limit", f"the quota{_of(options)} is not used up: {count} bytes"), not option.inverted
    )


def read_connbytes(options: Options) -> Open:
    """``--connbytes``; without conntrack's accounting, which no dump shows, it never matches."""
    option, way, mode = (
        options.need("--connbytes"),
        options.need("--connbytes-dir"),
        options.need("--connbytes-mode"),
    )

    def amounts(text: str) -> str:
        low, _, high = text.partition(":")
        for part in filter(None, (low, high)):
            integer(part, 0, 0xFFFFFFFFFFFFFFFF)
        if not low and not high:
            raise ValueError(text)
        return text

    amount = option.read(amounts, "an amount or a range, as FROM:TO,")
    if way.value not in ("original", "reply", "both"):
        raise way.error("original, reply or both")
    if mode.value not in ("packets", "bytes", "avgpkt"):
        raise mode.error("packets, bytes or avgpkt")
    return Open(
        Question("rate-limit", f"the connection has carried {amount} {mode.value} ({way.value})"),
        not option.inverted,
    )


PRINTED: Final = (printed(r"limit: avg (\S+) burst (\d+)", r"-m limit --limit \1 --limit-burst \2"),)
