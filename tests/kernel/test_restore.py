"""What iptables-restore accepts and refuses, and what our reader makes of the same text.

Texts are random edits of rules as people and damaged files make them. Where the real tool refuses a
text ours must say so too; where it takes one ours reads the same rules, or says that it cannot.
"""

from __future__ import annotations

import random
import shlex
import subprocess
from pathlib import Path

import pytest

from kinspect.errors import RulesError
from kinspect.model.rules import ChainName, TableName
from kinspect.parse.rules.dump import Dump, read_dump
from tests.needs import isolated, needs

pytestmark = pytest.mark.kernel

HEAD = [
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":A - [0:0]",
    ":B - [0:0]",
]
RULES = [
    "-A FORWARD -j A", "-A A -s 10.0.0.1/32 -j B", "-A A ! -d 10.0.0.0/8 -p tcp -m tcp --dport 80 -j DROP",
    "-A A -p udp -m udp --sport 53:60 -j RETURN", "-A B -m mark --mark 0x1/0x1 -j ACCEPT", "-A B -i eth0 -j RETURN",
    '-A A -m comment --comment "a b" -m statistic --mode random --probability 0.5 -j B',
    "-A A -p tcp -m multiport --dports 80,90:95 -j DROP", "-A B -m conntrack --ctstate NEW -j DROP", "-A B -j DROP",
    "-A A -m addrtype --dst-type LOCAL -g B", "-A A -j MARK --set-xmark 0x1/0x1", "-A B -f -j DROP",
]  # fmt: skip
WORDS = [
    "-A A", "-j B", "-j RETURN", "-g B", "-s 10.0.0.2", "-d 10.0.0.3", "-p tcp", "-p udp", "-i eth1", "-o eth2", "-m tcp",
    "--dport 90", "--dport 80:70", "--sport 5", "-m multiport --dports 80", "-m mark --mark 2", "--mark 0x3",
    "--probability 0.3", "-m statistic --mode random --probability 0.2", "--ctstate INVALID", "-m comment --comment x",
    "--comment y", "--dst-type UNICAST", "--dports 1:0", "!", "-f", "--set-xmark 0x4/0x4",
]  # fmt: skip
LINES = [
    "-F A", "-F", "-P FORWARD DROP", "-P INPUT DROP", "-N C", "-N A", "-X B", "-D A 1", "-D B -j DROP", "-D B 9", "-I A 1 -j B",
    "-I A -j DROP", "-I B 7 -j DROP", "-R A 1 -j ACCEPT", ":FORWARD DROP [0:0]", ":A - [0:0]", "-A NOSUCH -j DROP", "-Z A",
    "-A PREROUTING -j A", ":PREROUTING ACCEPT [0:0]", "-A A -j MASQUERADE", "# a remark", "  -A B -j RETURN", "-A  A  -j  B",
    "-A\tA\t-j B", "[1:2]  -A A -j B", ":C  -  [0:0]", ":D -",
]  # fmt: skip


def edited(chance: random.Random) -> str:
    """A table with a few rules, one or two of them edited, or lines between them."""
    rules = [chance.choice(RULES) for _ in range(chance.randint(1, 5))]
    for _ in range(chance.choice([0, 1, 1, 1, 2])):
        at = chance.randrange(len(rules))
        match chance.choice([0, 0, 0, 1, 1, 2, 3, 4]):
            case 0:
                rules.insert(at + chance.randint(0, 1), chance.choice(LINES))
            case 1:
                rules[at] += f" {chance.choice(WORDS)}"
            case 2:
                words = rules[at].split(" ")
                words.insert(chance.randint(2, max(2, len(words))), chance.choice(WORDS))
                rules[at] = " ".join(words)
            case 3:
                words = rules[at].split(" ")
                del words[chance.randrange(len(words))]
                rules[at] = " ".join(words)
            case _:
                rules[at] += f" {chance.choice(RULES)}"
    return "\n".join([*HEAD, *rules, "COMMIT", ""])


def restored(texts: list[str], folder: Path, tool: str) -> list[str | None]:
    """What the tool saves of each text when it has loaded it; None for what it refuses."""
    needs(tool, tool.replace("restore", "save"))
    for number, text in enumerate(texts):
        (folder / f"{number}.rules").write_text(text)
    save = tool.replace("restore", "save")
    script = (
        f"cd {shlex.quote(str(folder))}; for n in $(seq 0 {len(texts) - 1}); do"
        f" if {tool} <$n.rules >$n.err 2>&1; then {save} -t filter >$n.saved; fi; {tool.replace('-restore', '')} -F;"
        f" {tool.replace('-restore', '')} -X; done 2>/dev/null"
    )
    subprocess.run(
        [*shlex.split(isolated("net")), "sh", "-c", script], check=False, timeout=300, capture_output=True
    )
    saved = [folder / f"{number}.saved" for number in range(len(texts))]
    return [path.read_text() if path.exists() else None for path in saved]


def meaning(dump: Dump) -> dict[str, object]:
    """Policies and rules by chain, as far as they count."""
    found: dict[str, object] = {}
    for name in dump.chains(TableName("filter")):
        chain = dump.chain(TableName("filter"), ChainName(name))
        assert chain is not None
        rules = [
            (sorted({repr(c.match) for c in rule.clauses if "comment" not in c.text}), repr(rule.target))
            for rule in chain.rules()
        ]
        found[name] = (chain.policy, rules)
    return found


def ours(text: str) -> tuple[dict[str, object] | None, str]:
    """What our reader makes of a text; None with the reason where it refuses it, or finds damage in it."""
    try:
        dump = read_dump(text.encode(), source="f", family=4)
        read = meaning(dump)
    except RulesError as error:
        return None, str(error)
    if dump.damaged:
        return None, str(dump.damaged[0])
    if "Unsupported" in repr(read):  # an option that no extension of the rule has: undecided, and said so
        return None, "f: an option that is not known"
    return read, ""


@pytest.mark.parametrize("tool", ["iptables-legacy-restore", "iptables-nft-restore"])
def test_a_text_is_read_as_iptables_restore_reads_it_or_refused_by_line(tool: str, tmp_path: Path) -> None:
    texts = [edited(random.Random(seed)) for seed in range(300)]
    taken = restored(texts, tmp_path, tool)
    assert 60 < sum(saved is not None for saved in taken) < 240, "edits of both kinds"
    wrong = []
    for text, saved in zip(texts, taken, strict=True):
        read, why = ours(text)
        if saved is None:
            if read is not None and not _told_later(text):
                wrong.append(f"refused, and read by us:\n{text}")
        elif read is None:
            assert why.startswith("f:"), why
        else:
            expected, _ = ours(saved)
            if expected is not None and read != expected:
                wrong.append(f"read differently:\n{text}\nsaved:\n{saved}")
    assert not wrong, "\n\n".join(wrong[:3])


def _told_later(text: str) -> bool:
    """Whether a rule stands in, or leads to, a chain that is not declared: told when a packet comes there.

    A chain of users that is declared twice before any rule is the same to iptables-nft-restore.
    """
    if "\n-R " in text:  # iptables-nft-restore 1.8.9 crashes on it
        return True
    before = [line for line in text.split("\n-", 1)[0].splitlines() if line.startswith(":")]
    if len(before) > len({line.split()[0] for line in before}):
        return True
    declared = {line.split()[0][1:] for line in text.splitlines() if line.startswith(":")}
    declared |= {line.split()[1] for line in text.splitlines() if line.startswith("-N ")}
    words = text.split()
    used = {words[i + 1] for i, word in enumerate(words[:-1]) if word in ("-A", "-I", "-j", "-g")}
    return bool(used - declared - {"DROP", "ACCEPT", "RETURN", "MARK", "MASQUERADE"}) or "-X" in words
