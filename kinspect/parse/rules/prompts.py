"""Lines of a shell among rules: the command that printed them, commands that make them, bare prompts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kinspect.model.packet import Family

# Words between a prompt and the tool: ways to run it as root, in a container, on a node.
_THROUGH: Final = (
    r"(?:(?:sudo|doas|nsenter|chroot|kubectl|oc|docker|podman|nerdctl|crictl|minikube|ssh|ip netns|time|lxc)"
    r"\s(?:[^\"'|;]*?\s)?)?"
)
_PROMPT: Final = r"(?:[^-*:\s\"'][^\"']*?[$#>%❯➜]\s+|[$#%❯➜>]\s*)?"
_COMMAND: Final = re.compile(
    rf"{_PROMPT}{_THROUGH}[\"']?(?:/\S*/)?(ip6?tables)(-nft|-legacy)?(-save)?(?=[\s\"'|;]|$)(.*)$"
)
_TABLE: Final = re.compile(r"(?:^|\s)(?:-t\s*|--table[ =])(\w+)")
_LISTS: Final = re.compile(r"\s(?:-[a-zA-Z]*[LS][a-zA-Z]*|--list(?:-rules)?)(?=\s|$)")
_MAKES: Final = re.compile(
    r"\s(?:-[AINPFXZDRE]|--(?:append|insert|new-chain|new|policy|flush|delete-chain|zero|delete|replace|rename-chain))"
    r"(?=\s|$)"
)
_CHANGED: Final = re.compile(
    rf"{_PROMPT}(?:sudo\s+(?:-\S+\s+)*)?(?:\S*/)?(ip6?tables)(?:-nft|-legacy)?\s+(.*)$"
)
_WAITS: Final = re.compile(r"(?:^|\s)(?:-w|--wait)(?:[ =]\d+)?(?=\s|$)|(?:^|\s)-W \d+(?=\s|$)")
_LONGEST: Final = 400  # characters of a line with a prompt
_FILTERS: Final = re.compile(r"\|\s*(?:\S*/)?(?:e?grep|rg|awk|sed|head|tail|less|more|cut|sort)\b")
_SCREEN: Final = re.compile(r"\|\s*(?:less|more|sort)\b[^|]*$")  # which leave nothing out
_FILE: Final = re.compile(rf"{_PROMPT}(?:sudo )?(?:cat|zcat) \S+$")
_BARE: Final = re.compile(
    r"(?:\[?[\w.-]+@[\w.-]+[\s:][^\]\"']*?\]?|(?:ba|z|da|a)?sh-[\d.]+|[\w.-]*:?[/~]\S*|\([^)]*\))\s?[#$%>❯➜](?:\s+[^-*:].*)?$"
    r"|[$%❯➜](?:\s+(?!-).*)?$"
)


@dataclass(frozen=True, slots=True)
class Printing:
    """A command that prints rules: iptables-save, iptables -S, iptables -L."""

    family: Family
    table: str | None
    saves: bool  # iptables-save: all tables unless one is named
    filtered: bool  # a pipe after it leaves lines out


@dataclass(frozen=True, slots=True)
class Changing:
    """A command that makes rules; ``words`` are those behind the tool, without the table."""

    family: Family
    table: str | None
    words: str


def printing(line: str) -> Printing | None:
    """The command in a line after a prompt, or alone, if it is one that prints rules."""
    if "tables" not in line or line[0] in "-:[*" or len(line) > _LONGEST:
        return None
    found = _COMMAND.match(line)
    if found is None:
        return None
    tool, _, save, words = found.groups()
    if save is None and (_LISTS.search(words) is None or _MAKES.search(words.split("|")[0]) is not None):
        return None
    table = _TABLE.search(words)
    filtered = _FILTERS.search(_SCREEN.sub("", words)) is not None
    return Printing(6 if tool == "ip6tables" else 4, table[1] if table else None, save is not None, filtered)


def changing(line: str) -> Changing | None:
    """The command in a line, if it is one that makes rules."""
    if "tables" not in line or line[0] in "-:[*":
        return None
    found = _CHANGED.match(line)
    if found is None:
        return None
    words = _WAITS.sub("", f" {found[2]}")
    table = _TABLE.search(words)
    words = _TABLE.sub("", words, count=1).strip()
    return Changing(6 if found[1] == "ip6tables" else 4, table[1] if table else None, words)


def is_prompt(line: str) -> bool:
    """Whether a line is a shell's prompt, with nothing after it or with a command that prints no rules."""
    if line[0] in "-:[*" and not line.startswith("["):
        return False
    if len(line) > _LONGEST:
        return False
    return _BARE.fullmatch(line) is not None or _FILE.fullmatch(line) is not None
