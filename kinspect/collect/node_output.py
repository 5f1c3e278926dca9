"""The output of ``remote.sh``, as the files of a node.

Each mark begins with a nonce that is new for each node, so that no output of a tool and no banner of
a shell can imitate one. A stream without the last mark was cut.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kinspect.errors import NodeError
from kinspect.sanitise import quoted
from kinspect.snapshot import types as names
from kinspect.snapshot.manifest import Command
from kinspect.snapshot.types import Fetched

_LARGEST: Final = 1 << 30  # bytes of a node, unpacked

# A node's dumps, and the names they have where only one back end holds rules.
_PAIRS: Final = (
    (names.IPTABLES, names.IPTABLES_LEGACY, names.IPTABLES_NFT),
    (names.IP6TABLES, names.IP6TABLES_LEGACY, names.IP6TABLES_NFT),
)
_ABOUT: Final = ("id", "tools")  # sections that are no files: who runs the script, which tools need root
_DUMPS: Final = frozenset(name for pair in _PAIRS for name in pair)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the tools ran, for messages, and what to do if tools or permissions are missing."""

    place: str = "on the node"
    tools: str = "is this a Kubernetes node?"
    root: str = "--sudo, or --ssh-user root"


@dataclass(frozen=True, slots=True)
class Section:
    """The output, exit status and standard error of one command."""

    output: bytes
    status: int
    stderr: str = ""
    command: str = ""


def read_bundle(stream: bytes, nonce: str) -> dict[str, Section]:
    """The sections of a stream. Raises NodeError: not a stream, or one that was cut."""
    mark = f"@{nonce} ".encode()
    start = stream.find(mark)
    if start < 0:
        heard = quoted(stream[:200].decode("utf-8", "replace").strip())
        raise NodeError(
            "the node did not run the script" + (f"; it said: {heard}" if heard else ""),
            hint="its login shell must run `sh -s`; try: ssh NODE sh -c id",
        )
    form, _, body = stream[start + len(mark) :].partition(b"\n")
    if form == b"gzip":
        body = _unpacked(body)
    # Where it was cut counts more than what came before.
    if not body.rstrip(b"\n").endswith(mark + b"done"):
        raise NodeError("the connection was cut before all was read", hint="try again, or raise --timeout")
    found: dict[str, tuple[bytes, int, bytes]] = {}
    prefix = re.escape(mark)
    begin = re.compile(rb"\n" + prefix + rb"begin (\S+)(?: ([^\n]*))?\n")
    at = 0
    while opened := begin.search(body, at):
        name = opened[1]
        closing = re.compile(rb"\n" + prefix + rb"end " + re.escape(name) + rb" (\d+)\n")
        closed = closing.search(body, opened.end() - 1)
        if closed is None:
            raise NodeError(
                "the connection was cut before all was read", hint="try again, or raise --timeout"
            )
        found[name.decode()] = (body[opened.end() : closed.start()], int(closed[1]), opened[2] or b"")
        at = closed.end() - 1
    return {
        name: Section(
            output,
            status,
            quoted(found.get(f"{name}.stderr", (b"", 0, b""))[0].decode("utf-8", "replace").strip()),
            quoted(command.decode("utf-8", "replace")),
        )
        for name, (output, status, command) in found.items()
        if not name.endswith(".stderr")
    }


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, _LARGEST)
    except zlib.error as error:
        raise NodeError(f"what the node sent is damaged: {error}", hint="try again") from error
    if unpacker.unconsumed_tail:
        raise NodeError(f"the node sends more than {_LARGEST >> 20} MiB")
    return data


def node_files(sections: dict[str, Section], ground: Ground = Ground()) -> Fetched:
    """The files of a node's sections, and what ran. Raises NodeError where its rules could not be read.

    Where a node has the tools of both back ends and only one holds rules, that dump takes the
    plain name; where both do, both stay.
    """
    user, tools = (
        sections[name].output.decode("utf-8", "replace").strip() if name in sections else ""
        for name in _ABOUT
    )
    allowing = sudoers_line(quoted(user) or "USER", tools.split())
    dumps = {name: section for name, section in sections.items() if name in _DUMPS}
    for name, section in dumps.items():
        others = [s for n, s in dumps.items() if n != name and _same(n, name)]
        _check_dump(name, section, allowing, others, ground)
    dumps = {name: section for name, section in dumps.items() if section.status == 0}
    # A tool that failed brought nothing; what is then missing is said by who reads the snapshot.
    files = {
        name: section.output
        for name, section in sections.items()
        if name not in _DUMPS and name not in _ABOUT and section.status == 0
    }
    for plain, legacy, nft in _PAIRS:
        files.update(_back_ends(dumps, plain, legacy, nft))
    if not dumps and names.NFT_TABLES not in files:
        raise NodeError(f"there is neither iptables-save nor nft {ground.place}", hint=ground.tools)
    ran = [
        Command(file=name, command=section.command, status=section.status, stderr=section.stderr)
        for name, section in sections.items()
        if name != "id"
    ]
    return Fetched(files, ran)


def cut(output: bytes, most: int) -> bytes:
    """The first lines of a table; the last line says if there were more, as ``remote.sh`` does."""
    end = -1
    for _ in range(most):
        end = output.find(b"\n", end + 1)
        if end < 0 or end + 1 == len(output):
            return output
    return output[: end + 1] + f"# cut after {most} entries\n".encode()


def _same(one: str, other: str) -> bool:
    """Whether two dumps are of the same family."""
    return one.startswith("ip6") == other.startswith("ip6")


def _back_ends(dumps: dict[str, Section], plain: str, legacy: str, nft: str) -> dict[str, bytes]:
    if plain in dumps:
        return {plain: dumps[plain].output, **_stderr(plain, dumps[plain])}
    found = {name: dumps[name] for name in (legacy, nft) if name in dumps}
    holding = {name: section for name, section in found.items() if b"*" in section.output}
    if len(holding) == 2:
        return {
            file: content
            for name, section in found.items()
            for file, content in {name: section.output, **_stderr(name, section)}.items()
        }
    chosen = next(iter(holding.values()), next(iter(found.values()), None))
    return {} if chosen is None else {plain: chosen.output, **_stderr(plain, chosen)}


def _stderr(name: str, section: Section) -> dict[str, bytes]:
    return {name.replace(".txt", ".stderr"): f"{section.stderr}\n".encode()} if section.stderr else {}


def _check_dump(name: str, section: Section, allowing: str, others: list[Section], ground: Ground) -> None:
    """An error if a tool failed or printed no dump: an empty dump would be a false answer."""
    if section.status == 0:
        _check_whole(name.removesuffix(".txt"), section.output, ground)
        return
    tool, heard = name.removesuffix(".txt"), section.stderr or f"exit status {section.status}"
    if _SUDO_REFUSED.search(heard):
        raise NodeError(
            f"sudo on the node wants a password for {tool}", hint=f"allow it in sudoers: {allowing}"
        )
    if "sudo: not found" in heard or (section.status == 127 and "sudo" in heard):
        raise NodeError(
            f"{tool} needs root, and the node has no sudo", hint="--ssh-user root, or install sudo there"
        )
    if "Permission denied" in heard or "must be root" in heard:
        raise NodeError(f"{tool}: permission denied {ground.place}", hint=ground.root)
    if "xtables lock" in heard:
        raise NodeError(f"{tool}: another program holds the xtables lock: {heard}", hint="try again")
    if any(other.status == 0 and b"*" in other.output for other in others):
        return  # one back end's tool that does not work here, beside one that does
    if tool.startswith("ip6") and "Address family not supported" in heard:
        return  # a kernel without IPv6
    raise NodeError(f"{tool} failed: {heard}")


def _check_whole(tool: str, output: bytes, ground: Ground) -> None:
    """An error for text that is not a dump, or not a whole one: each table ends in COMMIT."""
    first = re.search(rb"^[^#\n].*", output, re.M)
    if first is None:
        return
    if not first[0].startswith(b"*"):
        heard = quoted(first[0][:200].decode("utf-8", "replace"), 80)
        raise NodeError(
            f"{tool} {ground.place} printed what is no dump: {heard}", hint="run it by hand and look"
        )
    # Behind the last table come comments at most.
    if re.search(rb"^COMMIT\n(?:(?:#[^\n]*)?\n)*\Z", output[output.rfind(b"\nCOMMIT") + 1 :] + b"\n") is None:
        raise NodeError(f"the dump of {tool} is cut short", hint="try again")


# sudo -n, of several releases, and sudo-rs.
_SUDO_REFUSED: Final = re.compile(
    r"(?:a password|a terminal|interactive authentication) is required|not in the sudoers"
    r"|not allowed to execute|may not run sudo|must have a tty|I'm afraid I can't do that"
)


def sudoers_line(user: str, paths: Iterable[str] = ()) -> str:
    """What allows a user to read the rules, and nothing else (sudoers(5)).

    ``paths`` are those of the tools that the node has; without them all that may be asked for.
    """
    found = {path.rpartition("/")[2]: path for path in paths if re.fullmatch(r"/[\w./-]+", path)}
    commands = [file.commands[0] for file in names.NODE_FILES.values() if file.root]
    allowed = [
        " ".join([found.get(tool, f"/usr/sbin/{tool}"), *words])
        for tool, *words in commands
        if not found or tool in found
    ]
    return f"{user} ALL=(root) NOPASSWD: {', '.join(allowed)}"
