"""What connection tracking makes of packets; the kernel says the same in tests/kernel."""

from __future__ import annotations

import pytest

from kinspect.model.host import Host
from kinspect.model.packet import CtState, TcpFlag
from kinspect.netfilter.tracking import first_state, tracks
from kinspect.parse.rules.dump import read_dump
from tests.netfilter.tables import packet, packet6

F, S, R, P, A, U = TcpFlag.FIN, TcpFlag.SYN, TcpFlag.RST, TcpFlag.PSH, TcpFlag.ACK, TcpFlag.URG
STRICT = Host(sysctls={"net.netfilter.nf_conntrack_tcp_loose": "0"})


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (S, CtState.NEW), (S | P, CtState.NEW), (S | U, CtState.NEW), (A, CtState.NEW), (A | P, CtState.NEW),
        (S | A, CtState.INVALID), (R, CtState.INVALID), (R | A, CtState.INVALID), (F, CtState.INVALID),
        (F | A, CtState.INVALID), (F | P | U, CtState.INVALID), (TcpFlag(0), CtState.INVALID), (P, CtState.INVALID),
        (S | F, CtState.INVALID), (S | R, CtState.INVALID),
    ],
)  # fmt: skip
def test_flags_of_tcp_decide_whether_a_connection_can_begin(flags: TcpFlag, state: CtState) -> None:
    assert first_state(packet(protocol=6, tcp_flags=flags), Host()) is state


def test_the_middle_of_a_connection_is_taken_up_unless_the_host_forbids_it() -> None:
    assert first_state(packet(protocol=6, tcp_flags=A), STRICT) is CtState.INVALID
    assert first_state(packet(protocol=6, tcp_flags=S), STRICT) is CtState.NEW


@pytest.mark.parametrize(
    ("protocol", "dst", "kind", "state"),
    [
        (1, "10.0.0.1", 8, CtState.NEW), (1, "10.0.0.1", 13, CtState.NEW), (1, "10.0.0.1", 0, CtState.INVALID),
        (1, "10.0.0.1", 3, CtState.INVALID), (1, "10.0.0.1", 200, CtState.INVALID), (58, "10.0.0.1", 128, CtState.INVALID),
        (58, "fd00::1", 128, CtState.NEW), (58, "fd00::1", 129, CtState.INVALID), (58, "fd00::1", 1, CtState.INVALID),
        (58, "fd00::1", 135, CtState.UNTRACKED), (58, "fd00::1", 143, CtState.UNTRACKED), (58, "fd00::1", 200, CtState.INVALID),
        (1, "fd00::1", 8, CtState.INVALID),
    ],
)  # fmt: skip
def test_types_of_control_messages_decide_it_too(protocol: int, dst: str, kind: int, state: CtState) -> None:
    made = packet6 if ":" in dst else packet
    assert first_state(made(protocol=protocol, icmp_type=kind, icmp_code=0), Host()) is state


@pytest.mark.parametrize(
    ("rule", "on"),
    [
        ("-A A -j MASQUERADE", True), ("-A A -m conntrack --ctstate NEW -j A", True), ("-A A -j CT --zone 3", True),
        ("-A A -j CT --notrack", False), ("-A A -j NOTRACK", False), ("-A A -p tcp -j ACCEPT", False),
        ('-A A -m comment --comment "or -j MASQUERADE" -j ACCEPT', False),
        ('-A A -m comment --comment "or -j MASQUERADE" -j DNAT --to-destination 10.0.0.1', True),
    ],
)  # fmt: skip
def test_a_rule_that_needs_it_turns_tracking_on(rule: str, on: bool) -> None:
    dump = read_dump(f"*nat\n:A - [0:0]\n{rule}\nCOMMIT\n".encode(), source="dump")
    assert tracks(dump) is on
