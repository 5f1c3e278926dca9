"""``kinspect explain``: what a code means, of the findings of audit and of all else that has one."""

from __future__ import annotations

from kinspect.checks.audit.catalogue import KINDS
from kinspect.errors import NotFound
from kinspect.model.codes import CODES, CodePage, CodePages


def explain(code: str | None = None) -> CodePages:
    """The page of a code, or all; case counts only where two differ in nothing else. Raises NotFound."""
    pages = _pages()
    if code is None:
        return CodePages(tuple(pages))
    found = [page for page in pages if page.code == code]
    found = found or [page for page in pages if page.code.lower() == code.lower()][:1]
    if not found:
        raise NotFound(f"there is no code {code}", hint="kinspect explain lists them")
    return CodePages(tuple(found), asked=code)


def _pages() -> list[CodePage]:
    findings = [
        CodePage(
            code=kind.code,
            of="finding of audit",
            title=kind.title,
            severity=kind.severity.value,
            means=kind.means,
            todo=kind.todo,
            look=kind.look,
            settles=kind.settles,
        )
        for kind in sorted(KINDS.values(), key=lambda kind: kind.code)
    ]
    return findings + [CodePage(code=each.code, of=each.of, means=each.means) for each in CODES.values()]
