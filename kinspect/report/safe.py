"""What comes from a cluster, fit for a terminal."""

from __future__ import annotations

import unicodedata


def safe(text: str) -> str:
    """Text without control characters, which a terminal would obey: they are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() and unicodedata.category(c) not in ("Cf", "Cs", "Co") else f"\\x{ord(c):02x}"
        for c in text
    )
