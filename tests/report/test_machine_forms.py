"""JUnit and GitHub annotations, read back as CI systems read them; hostile names inject nothing."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.checks.altered import Altered
from tests.cli.run import kinspect
from tests.clusters import DATA

STORY = "story-4-node2-cordoned"
NASTY = "a]]>\x1b[31m<x>&\"'\n::error::owned\r\n##[error]x\x00\ufffe\u202e,:%0A"

# Jenkins' junit-10.xsd (xunit-plugin), as far as it goes here: element: (children, required, all attributes).
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, set(), {"name", "tests", "failures", "errors", "time"}),
    "testsuite": (
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors"},
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"},
    ),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name"},
        {"name", "classname", "time", "group"},
    ),
    "failure": (set(), set(), {"type", "message"}),
    "error": (set(), set(), {"type", "message"}),
    "system-out": (set(), set(), set()),
}


def junit(*argv: str, snapshot: object = DATA / STORY) -> tuple[int, ET.Element]:
    ran = kinspect("check", *argv, "--snapshot", str(snapshot), "-o", "junit")
    root = ET.fromstring(ran.out)
    valid(root)
    return ran.code, root


def valid(element: ET.Element) -> None:
    children, required, allowed = SCHEMA[element.tag]
    assert required <= set(element.keys()) <= allowed, element.tag
    for child in element:
        assert child.tag in children, (element.tag, child.tag)
        valid(child)
    if element.tag == "testsuite":
        cases = element.findall("testcase")
        assert int(element.get("tests", "")) == len(cases)
        assert int(element.get("failures", "")) == sum(c.find("failure") is not None for c in cases)
        assert int(element.get("errors", "")) == sum(c.find("error") is not None for c in cases)
        assert len({(c.get("classname"), c.get("name")) for c in cases}) == len(cases)
    if element.tag == "testcase":
        assert len(element.findall("failure")) + len(element.findall("error")) <= 1


def test_each_service_is_a_case() -> None:
    code, root = junit("drained")
    assert code == 1
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert set(cases) == {"default/kubernetes", "default/test-service"}
    failure = cases["default/test-service"].find("failure")
    assert failure is not None
    assert failure.get("type") == "Reaches"
    assert "1/2 goes to 10.42.20.2:80, pod default/test-server-2 on node2" in failure.get("message", "")
    assert "node1/iptables-save.txt:68" in (failure.text or "")
    assert len(cases["default/kubernetes"]) == 0
    assert {case.get("classname") for case in cases.values()} == {"kinspect.drained"}


def test_what_was_not_read_is_an_error(tmp_path: Path) -> None:
    altered = Altered("story-3-pod-relabelled", tmp_path).without("nodes/node2")
    code, root = junit("no-traffic", "--to", "node/node2", snapshot=altered)
    assert code == 3
    assert int(root.get("errors", "")) == 1
    (error,) = root.iter("error")
    assert "node2: none of its rules were read" in error.get("message", "")


def test_what_is_undetermined_is_an_error() -> None:
    code, root = junit("in-sync", snapshot=DATA / "split-backends")
    assert (code, root.get("failures"), root.get("errors")) == (3, "0", "1")


def test_many_services_are_many_cases() -> None:
    _, root = junit("no-traffic", "--to", "node/node2", snapshot=DATA / "zoo-nft")
    assert root.get("tests") == "22"


@pytest.fixture
def hostile(tmp_path: Path) -> Altered:
    """A pod, a rule's comment and a node's zone that would like to be more than text."""

    def renamed(slice_: object) -> None:
        for endpoint in slice_["endpoints"]:  # type: ignore[index]
            endpoint["targetRef"]["name"] = NASTY

    altered = Altered(STORY, tmp_path).each("endpointslices", "test-service", renamed)
    return altered.rules(
        "node1", '"default/test-service" -m tcp -j DNAT', '"::error::x ##[error] %0A" -m tcp -j DNAT'
    )


def test_hostile_names_leave_the_xml_whole(hostile: Altered) -> None:
    code, root = junit("drained", snapshot=hostile)
    assert code == 1
    (failure,) = root.iter("failure")
    assert "<x>&\"'" in failure.get("message", "")
    assert "\x1b" not in ET.tostring(root, encoding="unicode")


# A workflow command, as the runner reads one: at the start of a line.
COMMAND = re.compile(r"::(?P<name>[a-z-]+)(?: title=(?P<title>[^:,]*))?::(?P<message>.*)")


def read_annotations(snapshot: object, *argv: str) -> list[tuple[str, str, str]]:
    ran = kinspect("check", *argv, "--snapshot", str(snapshot), "-o", "github")
    found = []
    for line in ran.out.split("\n")[:-1]:
        match = COMMAND.fullmatch(line)
        assert match, line
        plain = [match["title"] or "", match["message"]]
        for escape, character in (("%3A", ":"), ("%2C", ","), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
            plain = [text.replace(escape, character) for text in plain]
        found.append((match["name"], plain[0], plain[1]))
    return found


def test_each_problem_is_an_annotation_and_the_verdict_is_one() -> None:
    verdict, first, *notes = read_annotations(DATA / STORY, "drained")
    assert {name for name, _, _ in notes} == {"notice"}, "what the assertion leaves open"
    assert first[:2] == ("error", "drained: default/test-service")
    assert first[2].startswith("1/2 goes to 10.42.20.2:80, pod default/test-server-2 on node2\n")
    assert verdict == (
        "error",
        "kinspect check: FAILED",
        "drained (node2): does not hold for 1 of 2 services",
    )


def test_what_holds_is_a_notice_and_what_is_not_known_a_warning() -> None:
    passed = read_annotations(DATA / "story-3-pod-relabelled", "no-traffic", "--to", "node/node2")
    assert {name for name, _, _ in passed} == {"notice"}
    assert {name for name, _, _ in read_annotations(DATA / "mode-nftables", "in-sync")} == {"warning"}


def test_hostile_names_begin_no_command(hostile: Altered) -> None:
    found = read_annotations(hostile, "drained")
    assert {name for name, _, _ in found} == {"error", "notice"}
    assert all("\x1b" not in message and "\r" not in message for _, _, message in found)
    # Each line of a message is ours, none begins with a stranger's words.
    assert not any(line.lstrip().startswith("::") for _, _, message in found for line in message.split("\n"))


def test_hostile_names_leave_the_table_and_the_json_whole(hostile: Altered) -> None:
    ran = kinspect("check", "drained", "--snapshot", str(hostile))
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    document = kinspect("check", "drained", "--snapshot", str(hostile), "-o", "json").json
    assert document["assertions"][0]["findings"][0]["endpoint"]["pod"] == NASTY
