"""Connection tracking tables: every form that the tools and the kernel print."""

from __future__ import annotations

import re
import sys

import pytest

from kinspect.model.flows import Table, Tracked
from kinspect.parse.node.conntrack import cut_mark, read_connections


def read(*lines: str) -> Table:
    return read_connections([("\n".join(lines) + "\n").encode()], "node1/conntrack.txt")


def entry(line: str) -> Tracked:
    table = read(line)
    assert (table.damaged, table.first_damage, len(table.entries)) == (0, None, 1)
    return table.entries[0]


TCP = "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.43.0.2 sport=1000 dport=80 src=10.42.1.1 dst=10.0.0.9 sport=8080 dport=999 [ASSURED] mark=0 use=1"
ACCOUNTED = "tcp      6 299 ESTABLISHED src=10.0.0.1 dst=10.43.0.2 sport=1000 dport=80 packets=7 bytes=500 src=10.42.1.1 dst=10.0.0.9 sport=8080 dport=999 packets=5 bytes=90000 [ASSURED] mark=0 delta-time=0"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(TCP, id="plain"),
        pytest.param(f"ipv4     2 {TCP}", id="-o extended"),
        pytest.param(f"{TCP} id=3674210460", id="-o id"),
        pytest.param(TCP.replace("use=1", "delta-time=3 [start=Fri Nov 27 20:51:15 2026] use=1"), id="-o ktimestamp"),
        pytest.param(TCP.replace("use=1", "delta-time=3 [start=Fri Nov 27 20:51:15 2026] [stop=Fri Nov 27 20:51:18 2026] use=1"), id="-o ktimestamp of one that ended"),
        pytest.param(f"ipv4     2 {TCP.replace('mark=0', 'mark=0 zone=0')}", id="/proc/net/nf_conntrack"),
        pytest.param(TCP.replace("mark=0", "mark=0 secctx=system_u:object_r:unlabeled_t:s0"), id="secctx"),
        pytest.param(TCP.replace("mark=0", "mark=0 helper=ftp labels=a,b"), id="helper and labels"),
        pytest.param(f"{TCP}\r", id="CRLF"),
    ],
)  # fmt: skip
def test_every_form_of_an_entry_says_the_same(line: str) -> None:
    assert entry(line) == Tracked(
        protocol="tcp", state="ESTABLISHED", timeout=431999, src="10.0.0.1", dst="10.43.0.2", sport=1000, dport=80,
        reply_src="10.42.1.1", reply_dst="10.0.0.9", reply_sport=8080, reply_dport=999, replied=True, assured=True,
    )  # fmt: skip


def test_counters_of_both_directions_are_added() -> None:
    found = entry(ACCOUNTED)
    assert (found.packets, found.bytes) == (12, 90500)
    assert entry(TCP).packets is None


def test_what_has_no_reply_yet_is_told() -> None:
    found = entry(
        "udp      17 29 src=10.12.0.14 dst=10.15.240.10 sport=43145 dport=53 [UNREPLIED] src=10.15.240.10 dst=10.12.0.14 sport=53 dport=43145 mark=0 use=1"
    )
    assert (found.replied, found.assured, found.state, found.translated) == (False, False, None, False)


def test_an_offloaded_connection_has_no_timeout() -> None:
    found = entry(TCP.replace("431999 ", "").replace("[ASSURED]", "[OFFLOAD]"))
    assert (found.timeout, found.offloaded, found.state) == (None, True, "ESTABLISHED")
    assert entry(TCP.replace("431999 ESTABLISHED ", "").replace("[ASSURED]", "[HW_OFFLOAD]")).offloaded


def test_marks_and_zones_are_read() -> None:
    found = entry(TCP.replace("mark=0", "mark=255 zone=7"))
    assert (found.mark, found.zone) == (255, 7)
    assert entry(TCP.replace("dport=80", "dport=80 zone-orig=9")).zone == 9


@pytest.mark.parametrize(
    ("line", "src", "dst"),
    [
        pytest.param("udp      17 99 src=fd00::1 dst=fd00::2 sport=1000 dport=53 [UNREPLIED] src=fd00::2 dst=fd00::1 sport=53 dport=1000 mark=0 use=1", "fd00::1", "fd00::2", id="as conntrack prints it"),
        pytest.param("ipv6     10 udp      17 99 src=fd00:0000:0000:0000:0000:0000:0000:0001 dst=fd00:0000:0000:0000:0000:0000:0000:0002 sport=1000 dport=53 [UNREPLIED] src=fd00:0000:0000:0000:0000:0000:0000:0002 dst=fd00:0000:0000:0000:0000:0000:0000:0001 sport=53 dport=1000 mark=0 zone=0 use=2", "fd00::1", "fd00::2", id="as the kernel prints it"),
    ],
)  # fmt: skip
def test_addresses_of_ipv6_are_in_their_shortest_form(line: str, src: str, dst: str) -> None:
    found = entry(line)
    assert (found.src, found.dst, found.translated) == (src, dst, False)


@pytest.mark.parametrize(
    ("line", "protocol"),
    [
        pytest.param("icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1", "icmp", id="ICMP"),
        pytest.param("gre      47 99 src=10.0.0.1 dst=10.0.0.2 srckey=0x1 dstkey=0x2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x2 dstkey=0x1 mark=0 use=1", "gre", id="GRE"),
        pytest.param("ipv4     2 gre      47 99 timeout=0, stream_timeout=0 src=10.0.0.1 dst=10.0.0.2 srckey=0x1 dstkey=0x2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x2 dstkey=0x1 mark=0 zone=0 use=2", "gre", id="GRE, as the kernel prints it"),
        pytest.param("unknown  50 99 src=10.0.0.1 dst=10.0.0.2 packets=0 bytes=0 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 packets=0 bytes=0 mark=0 use=1", "unknown", id="a protocol that the tool does not know"),
    ],
)  # fmt: skip
def test_protocols_without_ports_have_none(line: str, protocol: str) -> None:
    found = entry(line)
    assert (found.protocol, found.sport, found.dport, found.src, found.reply_src) == (
        protocol,
        None,
        None,
        "10.0.0.1",
        "10.0.0.2",
    )


def test_sctp_has_states_of_its_own() -> None:
    found = entry(
        "sctp     132 432000 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=5 dport=6 src=10.0.0.3 dst=10.0.0.1 sport=6 dport=5 [ASSURED] mark=0 use=1"
    )
    assert (found.state, found.closing, found.translated) == ("ESTABLISHED", False, True)
    closing = entry(
        "sctp     132 2 SHUTDOWN_SENT src=10.0.0.1 dst=10.0.0.2 sport=5 dport=6 src=10.0.0.3 dst=10.0.0.1 sport=6 dport=5 mark=0 use=1"
    )
    assert closing.closing


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("hello", "not an entry", id="something else"),
        pytest.param(TCP[:90], "both directions", id="cut short"),
        pytest.param(TCP.replace("10.42.1.1", "10.42.1.999"), "'10.42.1.999' is not an address", id="an address that is none"),
        pytest.param(TCP.replace("dport=80", "dport=80000"), "'80000' is not a port", id="a port that is none"),
        pytest.param(TCP.replace("src=10.0.0.1", "src=\x1b[31m"), "is not", id="an escape sequence"),
        pytest.param(TCP.replace("sport=8080", ""), "one direction", id="a port that is missing"),
        pytest.param(TCP.replace("431999", "9" * 400), "is not a field", id="a number without an end"),
        pytest.param(TCP.replace("src=10.42.1.1", "src=10.42.1.1 nonsense"), "'nonsense' is not a field", id="a word too many"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_and_the_others_are_read(line: str, why: str) -> None:
    table = read(TCP, line, TCP)
    assert (len(table.entries), table.damaged) == (2, 1)
    assert table.first_damage is not None
    assert table.first_damage.startswith("node1/conntrack.txt:2: ")
    assert re.search(re.escape(why), table.first_damage)


def test_what_the_tool_says_besides_is_no_damage() -> None:
    table = read("conntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.", TCP, "")
    assert (table.total, table.damaged, table.cut) == (1, 0, False)


def test_a_table_that_was_cut_says_so() -> None:
    assert read(TCP, cut_mark(1)).cut


def test_pieces_may_end_anywhere() -> None:
    text = f"{TCP}\n{ACCOUNTED}\n{TCP}".encode()
    whole = read_connections([text], "x")
    for size in (1, 7, 100):
        assert read_connections([text[i : i + size] for i in range(0, len(text), size)], "x") == whole
    assert whole.total == 3


def test_what_is_not_asked_for_is_counted_and_not_kept() -> None:
    asked: list[tuple[str, str, int | None, str, int | None]] = []

    def keep(*about: object) -> bool:
        asked.append(about)  # type: ignore[arg-type]
        return False

    table = read_connections([f"{TCP}\n".encode()], "x", keep)
    assert (table.entries, table.total) == ((), 1)
    assert asked == [("tcp", "10.43.0.2", 80, "10.42.1.1", 8080)]


def test_an_entry_takes_less_than_300_bytes_of_memory() -> None:
    """Its own and what it shares with no other: its client's address and its timeout."""
    table = read(
        *(
            TCP.replace("10.0.0.1", f"10.0.{n >> 8}.{n & 255}").replace("431999", str(400000 + n))
            for n in range(5000)
        )
    )
    shared: set[int] = set()
    total = 0
    for found in table.entries:
        parts = [getattr(found, name) for name in found.__struct_fields__]
        for part in (found, *parts):
            if id(part) not in shared and not isinstance(part, bool):
                shared.add(id(part))
                total += sys.getsizeof(part)
    assert total / len(table.entries) < 300
