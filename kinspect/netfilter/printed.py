"""How ``iptables -L`` prints matches and targets, and the options that this stands for.

Each extension's module lists its forms in ``PRINTED``. A form begins with words of its own, so that
the order of modules does not matter. Source: each extension's ``print`` in iptables' own extensions/.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Final, Literal, TypeAlias

from kinspect.netfilter.registry import MATCHES, TARGETS

NOT: Final = r"(?P<not>! ?)?"
"""Where a listing has the ``!`` of the option: before its value."""

Words: TypeAlias = str | Callable[[re.Match[str]], str]
"""Options, with the groups of the pattern as ``\\1``; or what makes them."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form: what is printed, and the options that it stands for.

    The pattern is text, as few runs read a listing: ``re`` compiles it at its first use, and keeps it.
    """

    pattern: str
    words: Words

    def read(self, text: str) -> tuple[str, int] | None:
        """The options that a text begins with, and where they end; None: another form."""
        found = re.match(self.pattern, text)
        if found is None:
            return None
        if not isinstance(self.words, str):
            return self.words(found), found.end()
        inverted = "not" in found.re.groupindex and found["not"]
        template = re.sub(r"(^| )--", r"\1! --", self.words, count=1) if inverted else self.words
        return found.expand(template), found.end()


def printed(pattern: str, words: Words = "") -> Form:
    """A form; without words it says nothing that matters."""
    return Form(pattern, words)


@cache
def forms(kind: Literal["matches", "targets"]) -> tuple[Form, ...]:
    """All forms of matches, or of targets."""
    named = sorted({*(MATCHES if kind == "matches" else TARGETS).values()})
    modules = [import_module(f"kinspect.netfilter.{kind}.{name}") for name in named]
    return tuple(form for module in modules for form in getattr(module, "PRINTED", ()))
