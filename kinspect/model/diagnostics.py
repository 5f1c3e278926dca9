"""What an answer could not take into account, as a value that functions return beside their result."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Undetermined(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not known and that the answer depends on: exit code 3.

    ``code`` is one of the public codes, ``answered_by`` what the user can give to settle it (an
    option, a file, a command), if anything.
    """

    text: str
    code: str = "not-read"
    node: str | None = None
    answered_by: str | None = None

    def __str__(self) -> str:
        return self.text


class Diagnostics(msgspec.Struct, frozen=True):
    """What is not known, and what is known but worth a warning; each once, in the order met."""

    undetermined: tuple[Undetermined, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: Diagnostics) -> Diagnostics:
        if not other:
            return self
        if not self:
            return other
        return Diagnostics(
            tuple(dict.fromkeys((*self.undetermined, *other.undetermined))),
            tuple(dict.fromkeys((*self.warnings, *other.warnings))),
        )

    def __bool__(self) -> bool:
        return bool(self.undetermined or self.warnings)


NONE = Diagnostics()
"""Nothing to report."""


def together(parts: Iterable[Diagnostics]) -> Diagnostics:
    """All of them as one. Linear, unlike a sum of many."""
    every = [part for part in parts if part]
    return Diagnostics(
        tuple(dict.fromkeys(one for part in every for one in part.undetermined)),
        tuple(dict.fromkeys(one for part in every for one in part.warnings)),
    )


def unknown(
    text: str, *, node: str | None = None, code: str = "not-read", answered_by: str | None = None
) -> Diagnostics:
    """One thing that is not known."""
    return Diagnostics((Undetermined(text=text, node=node, code=code, answered_by=answered_by),))


def warned(texts: Iterable[str]) -> Diagnostics:
    """Warnings alone."""
    return Diagnostics(warnings=tuple(dict.fromkeys(texts)))
