"""The words of one rule, quoted as iptables-save quotes them (and a shell, where people did)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# A word is a run of plain characters, quoted strings and escapes.
_WORD: Final = re.compile(r"""(?:[^\s"'\\]+|"(?:[^"\\]|\\.)*"|'[^']*'|\\.)+""", re.DOTALL)
_PIECE: Final = re.compile(r"""[^\s"'\\]+|"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)""", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


# iptables-restore reads lines of 10,240 bytes and rules of 255 words (xshared.h, MAX_ARGC).
LONGEST: Final = 1 << 16
"""Characters of a line, beyond which it is not a rule."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a rule: its meaning and its place in the line."""

    text: str
    start: int
    end: int


class BadQuote(ValueError):
    """A quote that is not closed; ``column`` is where it opens."""

    def __init__(self, column: int) -> None:
        super().__init__("a quote is not closed")
        self.column = column


def split(line: str) -> list[Word]:
    """The words of a line, unquoted, with their places. Raises BadQuote."""
    if '"' not in line and "'" not in line and "\\" not in line:
        words = []
        end = 0
        for text in line.split():
            start = line.index(text, end)
            end = start + len(text)
            words.append(Word(text, start, end))
        return words
    words = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line):
            return words
        found = _WORD.match(line, at)
        if found is None:
            raise BadQuote(at)
        end = found.end()
        if end < len(line) and not line[end].isspace():
            raise BadQuote(end)
        words.append(Word(_unquoted(found.group()), at, end))
        at = end


def _unquoted(raw: str) -> str:
    if raw[0] == '"' and raw.find('"', 1) == len(raw) - 1:
        inner = raw[1:-1]
        return _ESCAPE.sub(r"\1", inner) if "\\" in inner else inner
    pieces = []
    for piece in _PIECE.finditer(raw):
        double, single, escaped = piece.groups()
        if double is not None:
            pieces.append(_ESCAPE.sub(r"\1", double))
        elif single is not None:
            pieces.append(single)
        elif escaped is not None:
            pieces.append(escaped)
        else:
            pieces.append(piece.group())
    return "".join(pieces)
