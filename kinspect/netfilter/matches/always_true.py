"""Matches that hold for every packet: they are for people, or for counting.

``comment`` is text; ``nfacct`` adds the packet to a named counter (iptables-extensions(8)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kinspect.netfilter.matches.ip import Anything
from kinspect.netfilter.options import Options, ValueKind
from kinspect.netfilter.printed import printed

NO_EFFECT: Final = True
OPTIONS: Final = {"--comment": 1, "--nfacct-name": 1}
VALUES: Final[Mapping[str, ValueKind]] = {"--comment": "comment"}


def read(options: Options) -> Anything:
    """Any of them. A comment may be empty, but must be given."""
    options.need("--comment", "--nfacct-name")
    return Anything()


def _comment(found: re.Match[str]) -> str:
    text = found["text"].replace("\\", "\\\\").replace('"', '\\"')
    return f'-m comment --comment "{text}"'


PRINTED: Final = (
    printed(r"/\* (?P<text>.*?) \*/", _comment),
    printed(r"nfacct-name +(\S+)", r"-m nfacct --nfacct-name \1"),
)
