"""Words of strangers in our messages: one line, no control characters, no credentials."""

from __future__ import annotations

import re

LONGEST = 300
# Sixteen characters, since "invalid bearer token" is what the API itself says. eyJ begins a JWT.
_SECRET = re.compile(r"(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{16,})|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")


def said(text: str, longest: int = LONGEST) -> str:
    """The text as it can be shown on a terminal; what looks like a token is left out.

    Escapes what does not print, the characters that turn text around among them.
    """
    text = _SECRET.sub("[credentials]", text.strip())
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
