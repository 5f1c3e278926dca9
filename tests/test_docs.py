"""README and docs are true: commands run and print what is shown, links lead somewhere, tables are the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinspect.errors import ExitCode
from kinspect.snapshot import types as names
from kinspect.snapshot.types import NODE_FILES
from tests.cli.run import kinspect
from tests.clusters import DATA

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_CLUSTER = sorted((ROOT / "docs/in-cluster").glob("*.yaml"))
TEXTS = {page: page.read_text() for page in PAGES}
README, USAGE, CHECKS = (TEXTS[ROOT / name] for name in ("README.md", "docs/usage.md", "docs/checks.md"))
SECURITY, CONTRIBUTING = (TEXTS[ROOT / "docs" / name] for name in ("SECURITY.md", "CONTRIBUTING.md"))
SNAPSHOTS = TEXTS[ROOT / "docs/snapshots.md"]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ```console blocks: `$ kinspect …` and what it prints; a comment before them sets the width.
_OUTPUT = re.compile(
    r"<!-- output: columns=(\d+)(?: exit=(\d))? -->\n```console\n\$ (kinspect [^\n]+)\n(.*?)```\n", re.DOTALL
)
OUTPUTS = [
    pytest.param(page, match[3], int(match[1]), int(match[2] or 0), id=f"{named(page)}: {match[3]}")
    for page, text in TEXTS.items()
    for match in _OUTPUT.finditer(text)
]
CONSOLES = sum(text.count("```console\n") for text in TEXTS.values())


@pytest.mark.parametrize(("page", "command", "columns", "code"), OUTPUTS)
def test_an_output_is_what_the_program_prints(
    page: Path, command: str, columns: int, code: int, request: pytest.FixtureRequest
) -> None:
    ran = kinspect(*shlex.split(command)[1:], columns=columns)
    assert ran.code == code, ran.err
    whole = page.read_text()
    if request.config.getoption("--rewrite-golden"):
        whole = _OUTPUT.sub(lambda match: _filled(match, command, ran.out), whole)
        page.write_text(whole)
    shown = {match[3]: match[4] for match in _OUTPUT.finditer(whole)}
    assert shown[command] == ran.out


def _filled(match: re.Match[str], command: str, out: str) -> str:
    if match[3] != command:
        return match[0]
    head = match[0].partition("\n")[0]
    return f"{head}\n```console\n$ {command}\n{out}```\n"


def test_every_console_block_is_checked() -> None:
    assert len(OUTPUTS) == CONSOLES >= 4


# Commands that readers are to type: lines of ```sh blocks, and `commands` in tables.
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_TYPED = re.compile(
    r"(?:[\w-]+ \| )?kinspect (?:trace|check|audit|flows|whatif|diff|rules|capture|explain)\b[^#\n]*"
)


def _commands(text: str) -> list[str]:
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    lines += re.findall(r"^\| [^|`]+ \| `(kinspect [^`]+)` \|$", text, re.M)
    return [match[0].strip() for line in lines if (match := _TYPED.match(line))]


COMMANDS = [
    pytest.param(command, id=f"{named(page)}: {command}")
    for page, text in TEXTS.items()
    for command in dict.fromkeys(_commands(text))
]


_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: test-service}
spec:
  type: NodePort
  selector: {app: test-server}
  ports: [{port: 80, targetPort: 80, nodePort: 31000}]
  sessionAffinity: ClientIP
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands name."""
    folder = tmp_path_factory.mktemp("desk")
    node = DATA / "story-1-both-nodes/nodes/node1/iptables-save.txt"
    (folder / "dump.txt").write_bytes(node.read_bytes())
    (folder / "traffic.yaml").write_text(_policy())
    (folder / "change.yaml").write_text(_SERVICE)
    assert kinspect("audit", "--demo", "--write-baseline", str(folder / "known.json")).code == 0
    for name in ("incident.tar.gz", "before.tar.gz"):
        assert kinspect("capture", "-f", str(folder / name), "--demo").code == 0
    packet = 'IP(src="192.168.0.1",dst="192.168.0.11")/TCP(sport=40000,dport=31000)'
    pcap = str(folder / "client.pcap")
    ran = kinspect("trace", "--demo", "--node", "node1", "--packet", packet, "--write-pcap", pcap)
    assert ran.code == 0, ran.err
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On recorded facts in place of a live cluster; whatever the answer is, the call is right."""
    for file in desk.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.rpartition("| ")[2])[1:]
    recorded_twice = words[0] == "diff" and "--expected" not in words
    if words[0] != "explain" and not recorded_twice and not {"--snapshot", "--demo", "--rules"} & set(words):
        recorded = ["--snapshot", str(DATA / "zoo-nft")] if "shop/" in command else ["--demo"]
        words += recorded
    if "-f" in words:  # not into the file that it is read from
        words[words.index("-f") + 1] = f"new-{words[words.index('-f') + 1]}"
    for waiting in ("--wait", "--observe"):  # for a cluster that changes
        if waiting in words:
            del words[words.index(waiting) : words.index(waiting) + 2]
    if "--service" in words:
        words = [word for word in words if word != "--demo"]
    ran = kinspect(*words, stdin=(desk / "dump.txt").read_bytes())
    assert ran.code in (ExitCode.OK, ExitCode.VIOLATED), ran.err
    assert ran.out


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) > 30


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 200


# Links: to a file, and perhaps to a heading of it.
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]+)?\)")


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor[1:] in _anchors(target.read_text()), f"{path}{anchor}"


def test_the_readme_leads_to_every_page() -> None:
    for page in PAGES[1:]:
        assert f"]({named(page)}" in README, named(page)


def test_exit_codes_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (\d) \| (.+) \|$", README, re.M))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


def test_every_test_that_is_named_exists() -> None:
    tests = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", CONTRIBUTING)
    assert len(tests) > 15
    for path, name in tests:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


_PATH = re.compile(r"`((?:kinspect|tests|docs|completions)/[\w./-]+)`")


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in PAGES])
def test_every_path_that_is_named_exists(page: Path) -> None:
    for path in _PATH.findall(TEXTS[page]):
        stands_for_any = re.search(r"[A-Z]{4,}", path) is not None  # NAME.py
        if not stands_for_any and path != "kinspect/v1":
            assert (ROOT / path).exists(), path


def _commands_of(name: str) -> set[str]:
    """A node file's commands, as a shell takes them; the switches have a paragraph of their own."""
    file = NODE_FILES[name]
    return set() if name == names.SYSCTL else {shlex.join(argv) for argv in file.commands}


def test_the_commands_that_are_said_to_run_on_nodes_are_those_that_do() -> None:
    block = re.search(r"rules run by `sudo -n`:\n\n```text\n(.*?)```", SECURITY, re.DOTALL)
    assert block is not None
    said = [shlex.join(shlex.split(line)) for line in block[1].splitlines()]
    run = set().union(*map(_commands_of, NODE_FILES)) - {"cat /proc/net/nf_conntrack"}
    assert sorted(said) == sorted(run)
    assert "a node without `conntrack` may have `/proc/net/nf_conntrack`" in SECURITY


def test_the_page_on_snapshots_names_each_file_and_its_command() -> None:
    page = SNAPSHOTS[SNAPSHOTS.index("| file | command |") : SNAPSHOTS.index("Each file may be gzipped")]
    rows = re.findall(r"^\| (`[\w-]+\.(?:txt|json)`.*?) \| (.*?) \|$", page, re.M)
    found = {name: text for files, text in rows for name in re.findall(r"`([^`]+)`", files)}
    assert found.keys() == NODE_FILES.keys()
    for name, text in found.items():
        if "-legacy-" not in name and "-nft-" not in name and name not in (names.SYSCTL, names.PROXY_MODE):
            assert f"`{shlex.join(NODE_FILES[name].commands[0])}`" in text


def test_the_sudoers_line_is_the_one_that_errors_name() -> None:
    from kinspect.collect.node_output import sudoers_line

    assert f"\n{sudoers_line('kinspect')}\n" in USAGE


def _policy() -> str:
    (text,) = re.findall(
        r"```yaml\n(apiVersion: kinspect/v1\nkind: TrafficPolicy\n.*?)```", CHECKS, re.DOTALL
    )
    return str(text)


def test_the_policies_that_are_shown_can_be_read() -> None:
    from kinspect.parse.user.policy_file import read_policy

    assert len(read_policy(_policy().encode(), "checks.md")) == 5
    (config,) = [item for item in _in_cluster() if item["kind"] == "ConfigMap"]
    assert len(read_policy(config["data"]["traffic.yaml"].encode(), "cronjob.yaml")) == 2


def test_all_yaml_is_yaml() -> None:
    blocks = [block for text in TEXTS.values() for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) >= 4
    for block in blocks:
        assert all(document for document in yaml.safe_load_all(block))


def _in_cluster() -> list[dict[str, Any]]:
    return [item for path in IN_CLUSTER for item in yaml.safe_load_all(path.read_text())]
