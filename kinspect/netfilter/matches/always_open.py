"""Matches on facts that a trace does not have: a clock, a payload, a program, a processor.

Each is parsed in full, so that the rest of the rule is kept, and becomes a question that a person can answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, Undecided
from kinspect.model.packet import Packet
from kinspect.model.questions import Question, QuestionKind
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind

ALWAYS_OPEN: Final = "it depends on a clock, a payload, a program or a processor"
OPTIONS_bpf: Final = {"--bytecode": 1, "--object-pinned": 1}
OPTIONS_cgroup: Final = {"--path": 1, "--cgroup": 1}
OPTIONS_cluster: Final = {
    "--cluster-total-nodes": 1, "--cluster-local-node": 1, "--cluster-local-nodemask": 1,
    "--cluster-hash-seed": 1,
}  # fmt: skip
OPTIONS_connlabel: Final = {"--label": 1, "--set": 0}
OPTIONS_cpu: Final = {"--cpu": 1}
OPTIONS_devgroup: Final = {"--src-group": 1, "--dst-group": 1}
OPTIONS_eui64: Final[dict[str, int]] = {}
OPTIONS_ipcomp: Final = {"--ipcompspi": 1, "--compres": 0}
OPTIONS_ipvs: Final = {
    "--ipvs": 0, "--vproto": 1, "--vaddr": 1, "--vport": 1, "--vdir": 1, "--vmethod": 1, "--vportctl": 1,
}  # fmt: skip
OPTIONS_osf: Final = {"--genre": 1, "--ttl": 1, "--log": 1}
OPTIONS_string: Final = {"--algo": 1, "--from": 1, "--to": 1, "--string": 1, "--hex-string": 1, "--icase": 0}
OPTIONS_time: Final = {
    "--datestart": 1, "--datestop": 1, "--timestart": 1, "--timestop": 1, "--monthdays": 1, "--weekdays": 1,
    "--days": "--weekdays", "--contiguous": 0, "--kerneltz": 0, "--utc": 0, "--localtz": 0,
}  # fmt: skip
OPTIONS_u32: Final = {"--u32": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(
    (
        "--cluster-total-nodes",
        "--cluster-local-node",
        "--cluster-local-nodemask",
        "--cluster-hash-seed",
        "--cpu",
        "--ipcompspi",
        "--vproto",
        "--vaddr",
        "--vport",
        "--vdir",
        "--vmethod",
        "--vportctl",
        "--ttl",
        "--log",
        "--algo",
        "--from",
        "--to",
        "--datestart",
        "--datestop",
        "--timestart",
        "--timestop",
        "--monthdays",
        "--weekdays",
    ),
    "plain",
)


@dataclass(frozen=True, slots=True)
class Open:
    """Matches if the answer to the question is ``answer``."""

    question: Question
    answer: bool = True

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided."""
        return Undecided(self.question, self.answer)

    def seen(self, packet: Packet) -> str:
        """Nothing."""
        return "a dump does not tell"


def _reader(kind: QuestionKind, wording: str, *needed: str) -> Callable[[Options], Open]:
    """A reader that puts all options into a question; one of ``needed`` must be given, with a value."""

    def read(options: Options) -> Open:
        if needed:
            main = options.need(*needed)
            if not main.value:
                raise main.error("a value")
        # A rule with one inverted option asks the same question as the rule without the !.
        lone = len(options.written) == 1
        words = [
            " ".join(("!", o.name, *o.values) if o.inverted and not lone else (o.name, *o.values))
            for o in options
        ]
        inverted = lone and options.written[0].inverted
        return Open(Question(kind, wording.format(" ".join(words))), not inverted)

    return read


read_bpf = _reader("payload", "the packet matches the filter {}", "--bytecode", "--object-pinned")
read_cgroup = _reader("sender", "the packet's socket belongs to the control group {}", "--path", "--cgroup")
read_cluster = _reader("cpu", "this node of the cluster takes the packet: {}", "--cluster-total-nodes")
read_connlabel = _reader("connection", "the connection has the label {}", "--label")
read_cpu = _reader("cpu", "the packet is handled by the processor {}", "--cpu")
read_devgroup = _reader(
    "interface", "the packet's interface belongs to the group {}", "--src-group", "--dst-group"
)
read_eui64 = _reader("packet-field", "the packet's source address is derived from its MAC address")
read_ipcomp = _reader("packet-field", "the packet is compressed as {}")
read_ipvs = _reader("connection", "the packet belongs to an IPVS connection: {}")
read_osf = _reader("payload", "the packet's sender runs {}", "--genre")
read_string = _reader("payload", "the packet contains {}", "--string", "--hex-string")
read_time = _reader("clock", "the time is {}")
read_u32 = _reader("payload", "the packet's bytes match {}", "--u32")
