from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

ANSWERS = [
    (
        "-m time --timestart 06:59 --timestop 23:59 --days Sun,Mon",
        packet(),
        "the time is --timestart 06:59 --timestop 23:59 --weekdays Sun,Mon",
    ),
    ("-m time ! --weekdays Sa,Su", packet(), "not the time is --weekdays Sa,Su"),
    ('-m string --algo bm --string "GET /"', packet(), "the packet contains --algo bm --string GET /"),
    (
        '-m string --hex-string "|03|www" --algo kmp --from 40 --to 57 --icase',
        packet(),
        "the packet contains --hex-string |03|www --algo kmp --from 40 --to 57 --icase",
    ),
    (
        '-m u32 --u32 "0&0xFFFF=0x100:0xFFFF"',
        packet(),
        "the packet's bytes match --u32 0&0xFFFF=0x100:0xFFFF",
    ),
    ('-m u32 ! --u32 "0=1"', packet(), "not the packet's bytes match --u32 0=1"),
    ('-m bpf --bytecode "1,6 0 0 1"', packet(), "the packet matches the filter --bytecode 1,6 0 0 1"),
    (
        "-m bpf --object-pinned /sys/fs/bpf/x",
        packet(),
        "the packet matches the filter --object-pinned /sys/fs/bpf/x",
    ),
    ("-m cgroup ! --path a/b", packet(), "not the packet's socket belongs to the control group --path a/b"),
    ("-m cpu --cpu 0", packet(), "the packet is handled by the processor --cpu 0"),
    ("-m devgroup --src-group 5", packet(), "the packet's interface belongs to the group --src-group 5"),
    ("-m osf --genre Linux --ttl 2", packet(), "the packet's sender runs --genre Linux --ttl 2"),
    ("-m connlabel --label bulk", packet(), "the connection has the label --label bulk"),
    (
        "-m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 9",
        packet(),
        "this node of the cluster takes the packet: --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 9",
    ),
    (
        "-m ipvs --vaddr 10.0.0.1 --vport 80",
        packet(),
        "the packet belongs to an IPVS connection: --vaddr 10.0.0.1 --vport 80",
    ),
    ("-m eui64", packet6(), "the packet's source address is derived from its MAC address"),
    ("-m ipcomp --ipcompspi 5", packet(), "the packet is compressed as --ipcompspi 5"),
]
REFUSED = [
    ("-m string --algo bm", "expected --string or --hex-string", "-m"),
    ("-m u32 --u32", "expected a value after --u32", "--u32"),
    ('-m bpf --bytecode ""', "expected a value after --bytecode", '""'),
    ("-m cpu", "expected --cpu", "-m"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
