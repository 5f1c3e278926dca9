from __future__ import annotations

import pytest

from kinspect.collect.said import LONGEST, said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("services is forbidden", "services is forbidden"),
        ("  spaces around\n", "spaces around"),
        ("grün – ☃", "grün – ☃"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\u202eright to left\u2066", r"\u202eright to left\u2066"),
        ("\ud800", r"\ud800"),
        ("invalid bearer token", "invalid bearer token"),
        ("Authorization: Bearer abcdefghijklmnop.qrs", "Authorization: [credentials]"),
        ("basic dXNlcjpwYXNzd29yZA==", "[credentials]"),
        ("token eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl rejected", "token [credentials] rejected"),
        ("x" * (LONGEST + 1), "x" * (LONGEST - 1) + "…"),
    ],
)
def test_words_of_strangers_are_one_printable_line_without_credentials(text: str, shown: str) -> None:
    assert said(text) == shown
