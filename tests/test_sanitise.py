from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.sanitise import LONGEST_MESSAGE, LONGEST_NAME, quoted, safe, safe_name


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
        ("x" * (LONGEST_MESSAGE + 1), "x" * (LONGEST_MESSAGE - 1) + "…"),
    ],
)
def test_words_of_strangers_are_one_printable_line_without_credentials(text: str, shown: str) -> None:
    assert quoted(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-A KUBE-SEP-X -j DNAT", "-A KUBE-SEP-X -j DNAT"),
        ("a\nb", r"a\nb"),
        ("\x1b]8;;http://evil\x07click", r"\x1b]8;;http://evil\x07click"),
        ("\u202e\u2066\u200b\ufeff", r"\u202e\u2066\u200b\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("\u2028\x85\xa0", r"\u2028\x85\xa0"),
        ("\udcff", r"\udcff"),
        ("Bearer abcdefghijklmnopqrst", "Bearer abcdefghijklmnopqrst"),  # a rule's comment is no message
    ],
)
def test_what_a_terminal_would_obey_is_an_escape(text: str, shown: str) -> None:
    assert safe(text) == shown


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(1, 300))
def test_what_is_shown_is_printable_and_no_longer_than_asked(text: str, longest: int) -> None:
    shown = safe(text, longest)
    assert shown.isprintable()
    assert len(shown) <= longest


def test_a_name_has_a_length() -> None:
    longest = "n" * LONGEST_NAME
    assert safe_name(longest) == longest
    assert safe_name(longest * 40_000) == "n" * (LONGEST_NAME - 1) + "…"
