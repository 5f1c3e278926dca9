"""Codes for people: a list, or the page of one."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import Final

from kinspect.model.codes import CodePage, CodePages
from kinspect.report.screen import View

_NARROW, _WIDE, _USUAL = 40, 100, 80  # columns that text is wrapped in, at least and at most
_SETTLES: Final = (
    "About time: rules and API are read a moment apart, so a change under way looks the same. What is still"
    " there a minute later is no such change."
)


def table(answer: CodePages, view: View) -> str:
    """The page of the code that was asked for; without one, a line for each code."""
    if answer.asked is None:
        return _list(answer.pages)
    return wide(answer, view)


def wide(answer: CodePages, view: View) -> str:
    """The pages in full."""
    width = max(_NARROW, min(view.width or _USUAL, _WIDE))
    return "\n\n\n".join(_page(page, width) for page in answer.pages)


def _list(pages: tuple[CodePage, ...]) -> str:
    """Findings of audit by severity and title, then what else documents use, by what it is."""
    lines: list[str] = []
    for of, group in groupby(pages, lambda page: None if page.severity else page.of):
        if of is not None:
            lines += ["", f"{of[:1].upper()}{of[1:]}:"]
        for page in group:
            lines.append(
                f"{page.code}  {page.severity:8} {page.title}"
                if page.severity
                else f"{page.code:20} {textwrap.shorten(page.means, 100, placeholder=' …')}"
            )
    return "\n".join(lines)


def _page(page: CodePage, width: int) -> str:
    head = f"{page.title} ({page.severity})" if page.title else page.of
    parts = [f"{page.code} · {head}", page.means]
    if page.todo:
        parts.append(f"What to do: {page.todo}")
    if page.settles:
        parts.append(_SETTLES)
    parts = [textwrap.fill(part, width) for part in parts]
    if page.look:
        parts.append("\n".join(["To see it by hand:", *(f"  {command}" for command in page.look)]))
    return "\n\n".join(parts)
