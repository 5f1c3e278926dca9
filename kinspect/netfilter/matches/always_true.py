"""Matches that hold for every packet: they are for people, or for counting.

``comment`` is text; ``nfacct`` adds the packet to a named counter (iptables-extensions(8)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.netfilter.matches.ip import Anything
from kinspect.netfilter.options import Options, ValueKind

NO_EFFECT: Final = True
OPTIONS: Final = {"--comment": 1, "--nfacct-name": 1}
VALUES: Final[Mapping[str, ValueKind]] = {"--comment": "comment"}


def read(options: Options) -> Anything:
    """Any of them. A comment may be empty, but must be given."""
    options.need("--comment", "--nfacct-name")
    return Anything()
