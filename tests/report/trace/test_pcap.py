"""What is written for Wireshark is read back as what it was, by tshark and by Scapy."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinspect.errors import CallError
from kinspect.model.packet import Packet
from kinspect.parse.user.packet_text import packet_from_expression
from kinspect.parse.user.pcap import packet_from_capture
from kinspect.parse.user.scapy_layers import scapy_module, silence
from kinspect.report.trace.pcap import write_pcap
from tests.needs import needs

pytestmark = pytest.mark.outside  # tshark

ENTERS = packet_from_expression('IP(src="192.168.0.1",dst="192.168.0.11")/TCP(dport=31000)')
LEAVES = packet_from_expression('IP(src="10.42.19.1",dst="10.42.20.2",ttl=63)/TCP(dport=80)')
SIX = packet_from_expression('IPv6(dst="fd00::1")/UDP(dport=53)')
PACKETS = [(ENTERS, "enters at node1"), (LEAVES, "leaves node1: 1/2 of the packets"), (SIX, "é → ü")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.pcapng"


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """The fields of each packet, as tshark reads them."""
    needs("tshark")
    checks = [word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE")]
    wanted = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-n", *checks, "-r", str(path), "-T", "fields", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_tshark_reads_addresses_ports_and_comments(path: Path) -> None:
    write_pcap(path, PACKETS)
    assert tshark(path, "ip.src", "ip.dst", "tcp.dstport", "ipv6.dst", "udp.dstport", "frame.comment") == [
        ["192.168.0.1", "192.168.0.11", "31000", "", "", "enters at node1"],
        ["10.42.19.1", "10.42.20.2", "80", "", "", "leaves node1: 1/2 of the packets"],
        ["", "", "", "fd00::1", "53", "é → ü"],
    ]


def test_tshark_finds_packets_a_microsecond_apart(path: Path) -> None:
    write_pcap(path, PACKETS)
    assert tshark(path, "frame.time_epoch") == [["0.000000000"], ["0.000001000"], ["0.000002000"]]


def test_tshark_finds_checksums_right(path: Path) -> None:
    write_pcap(path, PACKETS)
    assert tshark(path, "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status") == [
        ["1", "1", ""],
        ["1", "1", ""],
        ["", "", "1"],
    ]


def test_a_packet_longer_than_its_headers_is_shown_with_its_length(path: Path) -> None:
    write_pcap(path, [(ENTERS.replace(length=1500), "")])
    assert tshark(path, "frame.len", "ip.len", "tcp.dstport") == [["1500", "1500", "31000"]]


def test_scapy_reads_comments(path: Path) -> None:
    write_pcap(path, PACKETS)
    with silence(), scapy_module("scapy.utils").PcapNgReader(str(path)) as reader:
        assert [packet.comment.decode() for packet in reader] == [comment for _, comment in PACKETS]


@pytest.mark.parametrize(("index", "packet"), [(1, ENTERS), (2, LEAVES), (3, SIX)])
def test_our_own_reader_reads_the_same_packets(path: Path, index: int, packet: Packet) -> None:
    write_pcap(path, PACKETS)
    assert packet_from_capture(path, index) == packet


def test_no_packets_are_a_capture_too(path: Path) -> None:
    write_pcap(path, [])
    assert tshark(path, "frame.number") == []


def test_the_same_answer_gives_the_same_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_pcap(first, PACKETS)
    write_pcap(second, PACKETS)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("comment", "read"),
    [("a\0b", "ab"), ("é" * 40_000, "é" * 32_500), ("\udcff", "?"), ("", "")],
    ids=["a null byte", "too long for an option", "half a character", "none"],
)
def test_hostile_comments_do_not_break_the_file(path: Path, comment: str, read: str) -> None:
    write_pcap(path, [(ENTERS, comment)])
    with silence(), scapy_module("scapy.utils").PcapNgReader(str(path)) as reader:
        assert (reader.read_packet().comment or b"").decode() == read


def _fails_after_one() -> Iterator[tuple[Packet, str]]:
    yield PACKETS[0]
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    path.write_text("old")
    with pytest.raises(CallError) as caught:
        write_pcap(path, _fails_after_one())
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert (path.read_text(), [each.name for each in path.parent.iterdir()]) == ("old", [path.name])


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none/x.pcapng", "No such file or directory"), ("", "Is a directory")],
    ids=["no directory", "a directory"],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CallError) as caught:
        write_pcap(tmp_path / name, PACKETS)
    assert str(caught.value) == f"cannot write {tmp_path / name}: {reason}"


def test_what_a_link_leads_to_is_written_and_the_link_stays(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    write_pcap(link, PACKETS)
    assert link.is_symlink()
    assert packet_from_capture(path) == ENTERS


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", tmp_path / "got"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.write_bytes(pipe.read_bytes()))
    reader.start()
    write_pcap(pipe, PACKETS)
    reader.join(10)
    assert packet_from_capture(got, 2) == LEAVES
