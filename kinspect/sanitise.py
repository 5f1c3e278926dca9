"""Sanitises untrusted text for the screen: the only place that does so.

All that comes from a cluster, its nodes or a file is hostile. A terminal obeys control characters, and
characters that change the direction of text make one line read as another; both are shown as escapes. A
name may be megabytes long; what is shown is not. Any other interpreter of our output (a CI system's
log, a shell that completes words) gets its own escaping here, beside these.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST_NAME: Final = 253  # a DNS subdomain, the longest name of an object that Kubernetes takes
LONGEST_MESSAGE: Final = 300
LONGEST_TEXT: Final = 16_384  # a rule with all its options is shorter

# Sixteen characters, since "invalid bearer token" is what the API itself says. eyJ begins a JWT.
_SECRET: Final = re.compile(r"(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{16,})|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")


def safe(text: str, longest: int = LONGEST_TEXT) -> str:
    r"""The text in one line, without control characters: they are shown as escapes (``\x1b``, ``\u202e``).

    What is longer than ``longest`` characters ends in ``…``.
    """
    if text.isprintable():
        shown = text
    else:  # an escape is up to ten characters: cut before and after
        shown = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: longest + 1]
        )
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def safe_name(name: str) -> str:
    """The name of an object, a node or a file, no longer than Kubernetes lets a name be."""
    return safe(name, LONGEST_NAME)


def quoted(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Output of another program or server, within one of our messages: short, and without credentials."""
    return safe(_SECRET.sub("[credentials]", text.strip()), longest)
