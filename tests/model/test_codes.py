"""Public codes: all that has one is in the table, and those that were given out stay."""

from __future__ import annotations

from typing import get_args

import pytest

from kinspect.checks.audit.catalogue import KINDS
from kinspect.model.answer import Remark
from kinspect.model.check import Claim, Problem
from kinspect.model.codes import _BY_TYPE, _UNDETERMINED, CODES
from kinspect.model.questions import KINDS as KINDS_OF_QUESTIONS
from kinspect.model.whatif import Consequence
from tests.cli.run import kinspect

# Scripts know these: a line here is never changed or taken away.
GIVEN = {
    "Crossing", "StaysLocal", "SourceHidden", "Stale", "Missing", "Cordoned", "Died", "NodeLabelled", "WaysOut",
    "NoEndpoint", "Terminating", "Sticky", "FollowsOldPolicy", "TakenByRule", "HintsKeep", "NodeNameDiffers", "NotServedHere",
    "NoSuchService", "NoSuchPod",
    "Reaches", "Unplaced", "Queued", "Unmodelled", "Unexpected", "Unserved", "Uneven", "Refused", "Unhandled",
    "NotMasqueraded", "Masqueraded", "StillConnected", "EnteredThere", "ConnectionsUnplaced", "ConnectionsUnknown", "Observed",
    "TooFew", "NoWay", "Crosses",
    "Placeholder", "Evicted", "Replaced", "NoEffect", "NotFromPods", "HintsKept", "NoAddress", "Unscheduled",
    "NoTraffic", "InSync", "Reachable", "Balanced", "LocalOnly",
    "not-read", "not-sent", "not-traced", "connections-unknown", "unplaced", "older-release", "node-behind",
    "NothingChecked", "nothing-audited",
}  # fmt: skip


def test_codes_that_were_given_out_stay() -> None:
    assert set(CODES) >= GIVEN
    assert set(CODES) == GIVEN | set(KINDS_OF_QUESTIONS), "a new code: add it to GIVEN"


@pytest.mark.parametrize("union", [Remark, Problem, Claim, Consequence])
def test_every_remark_problem_claim_and_consequence_has_a_code(union: object) -> None:
    assert set(get_args(union)) <= set(_BY_TYPE)


def test_a_code_stands_for_one_thing() -> None:
    known = [*CODES, *KINDS]
    assert len(set(known)) == len(known)
    assert len(CODES) == len(_BY_TYPE) + len(_UNDETERMINED) + len(KINDS_OF_QUESTIONS)


@pytest.mark.parametrize("code", [*CODES, *KINDS])
def test_explain_has_a_page_on_every_code(code: str) -> None:
    ran = kinspect("explain", code)
    assert ran.code == 0
    assert ran.out.startswith(f"{code} · ")


def test_a_code_may_be_typed_in_any_case() -> None:
    assert kinspect("explain", "ki101").out == kinspect("explain", "KI101").out
    assert kinspect("explain", "crossing").out.startswith("Crossing · ")


def test_explain_lists_every_code() -> None:
    first = {line.split(" ")[0] for line in kinspect("explain").out.splitlines() if line}
    assert first >= {*CODES, *KINDS}
    assert kinspect("explain", "KI999").code == 2
