"""A packet expression is data: what it stands for, what is refused and how, and that printing reads back."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinspect.errors import PacketError
from kinspect.model.packet import Packet, TcpFlag
from kinspect.parse.user.packet_text import packet_from_expression, packet_to_expression, scapy_packet
from kinspect.parse.user.scapy_fields import shown

CLIENT, NODE = IPv4Address("203.0.113.1"), IPv4Address("192.168.0.11")
CLIENT6, NODE6 = IPv6Address("2001:db8::1"), IPv6Address("fd00::1")
IP = 'IP(dst="192.168.0.11")'
IP6 = 'IPv6(dst="fd00::1")'


def packet(protocol: int, length: int, /, **fields: object) -> Packet:
    return Packet(src=CLIENT, dst=NODE, protocol=protocol, length=length, ttl=64, tos=0).replace(**fields)


def packet6(protocol: int, length: int, /, **fields: object) -> Packet:
    return packet(protocol, length, src=CLIENT6, dst=NODE6, **fields)


SYN = packet(6, 40, sport=40000, dport=31000, tcp_flags=TcpFlag.SYN)
UDP = packet(17, 28, sport=40000, dport=53)

READ = {
    "the example of the article": (
        'IP(src="192.168.0.1",dst="192.168.0.11")/TCP(dport=31000)',
        SYN.replace(src=IPv4Address("192.168.0.1")),
    ),
    "without a source: the outside client": (f"{IP}/TCP(dport=31000)", SYN),
    "spaces and lines": (f"  {IP} /\tTCP( dport = 31000 )\n", SYN),
    "a source port": (f"{IP}/TCP(sport=1,dport=31000)", SYN.replace(sport=1)),
    "hexadecimal": (f"{IP}/TCP(dport=0x7918)", SYN),
    "a port by its name": (f'{IP}/TCP(dport="https")', SYN.replace(dport=443)),
    "flags as letters": (
        f'{IP}/TCP(dport=31000,flags="SA")',
        SYN.replace(tcp_flags=TcpFlag.SYN | TcpFlag.ACK),
    ),
    "flags as a number": (f"{IP}/TCP(dport=31000,flags=4)", SYN.replace(tcp_flags=TcpFlag.RST)),
    "no flags": (f'{IP}/TCP(dport=31000,flags="")', SYN.replace(tcp_flags=TcpFlag(0))),
    "flags iptables cannot ask for": (f'{IP}/TCP(dport=31000,flags="SEC")', SYN),
    "options of TCP": (f'{IP}/TCP(dport=31000,options=[("MSS",1460)])', SYN.replace(length=44)),
    "ttl and tos": (
        'IP(dst="192.168.0.11",ttl=3,tos=0x10)/TCP(dport=31000)',
        SYN.replace(ttl=3, tos=16),
    ),
    "UDP: Scapy's own ports do not leak": (f"{IP}/UDP(dport=53)", UDP),
    "SCTP": (f"{IP}/SCTP(dport=80)", packet(132, 32, sport=40000, dport=80)),
    "ICMP: an echo request": (f"{IP}/ICMP()", packet(1, 28, icmp_type=8, icmp_code=0)),
    "ICMP of a type": (f"{IP}/ICMP(type=3,code=4)", packet(1, 28, icmp_type=3, icmp_code=4)),
    "ICMP by its name": (f'{IP}/ICMP(type="echo-reply")', packet(1, 28, icmp_type=0, icmp_code=0)),
    "a payload counts": (f'{IP}/UDP(dport=53)/Raw(load="four")', UDP.replace(length=32)),
    "a payload without its field's name": (f'{IP}/UDP(dport=53)/Raw(b"four")', UDP.replace(length=32)),
    "a payload as text alone": (f'{IP}/UDP(dport=53)/"four"', UDP.replace(length=32)),
    "a protocol by number": (
        'IP(dst="192.168.0.11",proto=47)',
        packet(47, 20),
    ),
    "an Ethernet source": (
        f'Ether(src="AA:bb:cc:dd:ee:0f")/{IP}/UDP(dport=53)',
        UDP.replace(mac_src="aa:bb:cc:dd:ee:0f"),
    ),
    "Ethernet without a source": (f"Ether()/{IP}/UDP(dport=53)", UDP),
    "a VLAN": (f"Ether()/Dot1Q(vlan=5)/{IP}/UDP(dport=53)", UDP),
    "a later fragment has no ports": (
        'IP(dst="192.168.0.11",frag=1)/UDP()',
        packet(17, 28, fragment=True),
    ),
    "a later fragment without its protocol's layer": (
        'IP(dst="192.168.0.11",frag=1,proto="tcp")/Raw(load=b"data")',
        packet(6, 24, fragment=True),
    ),
    "a first fragment has ports": (
        'IP(dst="192.168.0.11",flags="MF")/UDP(dport=53)',
        UDP.replace(more_fragments=True),
    ),
    "a tunnel: the outer header counts": (f'{IP}/IP(dst="10.0.0.1")/TCP(dport=80)', packet(4, 60)),
    "IPv6 TCP": (
        f"{IP6}/TCP(dport=80)",
        packet6(6, 60, sport=40000, dport=80, tcp_flags=TcpFlag.SYN),
    ),
    "IPv6 hop limit and class": (
        'IPv6(dst="fd00::1",hlim=9,tc=4)/UDP(dport=53)',
        packet6(17, 48, sport=40000, dport=53, ttl=9, tos=4),
    ),
    "IPv6 echo": (f"{IP6}/ICMPv6EchoRequest()", packet6(58, 48, icmp_type=128, icmp_code=0)),
    "IPv6 neighbour solicitation": (
        f"{IP6}/ICMPv6ND_NS()",
        packet6(58, 64, icmp_type=135, icmp_code=0, ttl=255),
    ),
    "IPv6 any ICMP": (f"{IP6}/ICMPv6Unknown(type=200,code=1)", packet6(58, 44, icmp_type=200, icmp_code=1)),
    "IPv6 fragment": (
        f"{IP6}/IPv6ExtHdrFragment(nh=17,offset=1)",
        packet6(17, 48, fragment=True),
    ),
    "as Scapy prints a captured packet": (
        (
            "Ether(dst='02:00:00:00:00:02', src='02:00:00:00:00:01', type=2048)/IP(version=4, ihl=5, tos=0, len=48,"
            " id=1, flags=2, frag=0, ttl=64, proto=6, chksum=10932, src='203.0.113.1', dst='192.168.0.11')"
            "/TCP(sport=40000, dport=31000, seq=0, ack=0, dataofs=7, reserved=0, flags=2, window=8192, chksum=22171,"
            " urgptr=0, options=[('MSS', 1460),('NOP', None),('EOL', None)])"
        ),
        SYN.replace(length=48, mac_src="02:00:00:00:00:01"),
    ),
}


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ)
def test_reads(text: str, expected: Packet) -> None:
    assert packet_from_expression(text) == expected


HINT = '(layers joined by /, such as IP(dst="192.0.2.1")/TCP(dport=80))'
ONE4 = "is not one IPv4 address (names are not resolved, and a net is not a packet)"

REFUSED = {
    "nothing": ("", f"--packet: it is empty {HINT}"),
    "spaces only": ("  ", f"--packet: it is empty {HINT}"),
    "too long": ("IP()" + " " * 10_000, "--packet: 10004 characters are too many (at most 10000)"),
    "too many layers": ("/".join(["IP()"] * 20), "--packet: more than 16 layers"),
    "not an expression": ("IP(dst=)", f"--packet, column 8: not a layer expression {HINT}"),
    "a null byte": ("IP(\0)", "--packet"),
    "half a character": ("IP('\udcff')", f"--packet: not a layer expression {HINT}"),
    "nested beyond reason": ("-" * 9000 + "1", f"--packet: not a layer expression {HINT}"),
    "brackets beyond reason": ("(" * 9000, "--packet, column"),
    "an enormous number": (f"IP(ttl={'9' * 9000})", "--packet, column"),
    "an enormous number in base 16": (
        f"IP(ttl=0x{'f' * 9000})", "--packet, column 8: IP: ttl is out of range (0 to 255)",
    ),
    "a call of something else": (
        "__import__('os').system('x')/IP()",
        f"--packet, column 1: __import__('os').system('x') is not a layer {HINT}",
    ),
    "a near name": ('IP(dst="1.1.1.1")/TPC(dport=1)', "--packet, column 19: unknown layer TPC (perhaps TCP)"),
    "a distant name": ("Zzzzzzz()", "--packet, column 1: unknown layer Zzzzzzz (there are Ether, Dot1Q"),
    "a name of Scapy that is no layer": ("conf()", "--packet, column 1: unknown layer conf (there are"),
    "a layer not called": (f"{IP}/TCP", "--packet, column 24: TCP lacks its parentheses (write TCP())"),
    "a column counts characters": ('"é"/Foo()', "--packet, column 5: unknown layer Foo"),
    "a column counts leading spaces": ("   Foo()", "--packet, column 4: unknown layer Foo"),
    "another line": ("IP(\ndst=x)", "--packet, line 2, column 5: x is not a constant (expressions are read"),
    "a line that ends as on old systems": ("IP(\rdst=x)", "--packet, line 2, column 5: x is not a constant"),
    "a computed value": ("IP(ttl=2**64)", "--packet, column 8: 2**64 is not a constant (expressions are read, not run)"),
    "a list computed": ("IP(dst=[x for x in y])", "--packet, column 8: [x for x in y] is not a constant"),
    "a random value": ("IP(dst=RandIP())", "--packet, column 8: RandIP() is not a constant"),
    "an f-string": ('IP(dst=f"{x}")', "--packet, column 8: f"),
    "a boolean": ("IP(ttl=True)", "--packet, column 8: True is not a constant"),
    "a fraction": ("IP(ttl=1.5)", "--packet, column 8: 1.5 is not a constant"),
    "fields in a dict": ("IP(**{})", "--packet, column 6: IP takes field=value"),
    "a field without a name": ('IP("1.1.1.1")', '--packet, column 4: a field of IP without its name (IP(field="value", …))'),
    "a field twice": ("IP(ttl=1,ttl=2)", "--packet, column 14: IP has ttl twice"),
    "an unknown field": (
        "UDP(port=1)", "--packet, column 10: UDP: no field port (it has sport, dport, len, chksum)",
    ),
    "a port out of range": (f"{IP}/TCP(dport=70000)", "--packet, column 34: TCP: dport is out of range (0 to 65535)"),
    "a negative number": ("IP(ttl=-1)", "--packet, column 8: IP: ttl is out of range (0 to 255)"),
    "a range of ports": (f"{IP}/TCP(dport=(1,9))", "--packet, column 34: TCP: dport is one number (one packet is followed at a time)"),
    "several ports": (f"{IP}/TCP(dport=[1,9])", "--packet, column 34: TCP: dport is one number"),
    "an unknown service": (f'{IP}/TCP(dport="no-such")', "--packet, column 34: TCP: dport does not know the name no-such (give the number)"),
    "a host's name": ('IP(dst="example.com")', f"--packet, column 8: IP: dst {ONE4}"),
    "a net": ('IP(src="10.0.0.0/24")', f"--packet, column 8: IP: src {ONE4}"),
    "several addresses": ('IP(dst=["10.0.0.1","10.0.0.2"])', f"--packet, column 8: IP: dst {ONE4}"),
    "an address of the other family": ('IP(dst="fd00::1")', f"--packet, column 8: IP: dst {ONE4}"),
    "an address of an interface": ('IPv6(dst="fe80::1%eth0")', "--packet, column 10: IPv6: dst is not one IPv6 address"),
    "a MAC that is none": ('Ether(src="aa:bb")/IP()', "--packet, column 11: Ether: src is not a MAC address"),
    "an unknown flag": (f'{IP}/TCP(dport=1,flags="X")', "--packet, column 42: TCP: flags has no X (there are F, S, R"),
    "options of IP": ('IP(dst="1.1.1.1",options=["x"])', "--packet, column 26: IP: options cannot be given here"),
    "options that are no pairs": (f"{IP}/TCP(dport=1,options=[1])", "--packet, column 44: TCP: options is a list of pairs"),
    "options that do not build": (f'{IP}/TCP(dport=1,options=[("MSS",70000)])', "--packet, column 1: Scapy cannot build this packet"),
    "options that Scapy would leave out": (f'{IP}/TCP(dport=1,options=[("No",1)])', "--packet, column 1: Scapy cannot build this packet"),
    "no destination": ("IP()/TCP(dport=80)", '--packet, column 1: IP has no dst (IP(dst="address"))'),
    "no port": (f"{IP}/TCP()", "--packet, column 24: TCP has no dport (TCP(dport=80))"),
    "no port in a tunnel": (f"{IP}/{IP}/UDP()", "--packet, column 47: UDP has no dport"),
    "no IP": ("TCP(dport=80)", "--packet, column 1: TCP without an IP layer before it"),
    "Ethernet alone": ("Ether()", "--packet, column 1: there is no IP layer"),
    "Ethernet inside": (f"{IP}/Ether()", "--packet, column 24: Ether cannot come after IP"),
    "ICMP of the other family": (f"{IP6}/ICMP()", "--packet, column 21: ICMP does not go over IPv6"),
    "ICMPv6 over IP": (f"{IP}/ICMPv6EchoRequest()", "--packet, column 24: ICMPv6EchoRequest does not go over IP"),
    "no protocol": (IP, "--packet, column 1: the packet has no protocol (add /TCP(dport=80), or proto= to IP)"),
    "no protocol over IPv6": (f'{IP6}/"x"', "--packet, column 1: the packet has no protocol (add /TCP(dport=80), or nh= to IPv6)"),
    "a protocol without its header": ('IP(dst="1.1.1.1",proto=6)', "--packet, column 1: its tcp header is cut short"),
    "another protocol's header": (
        'IP(dst="1.1.1.1",proto=17)/TCP(dport=80)', "--packet, column 28: TCP in a packet whose protocol is udp",
    ),
    "another version": ('IP(dst="1.1.1.1",version=5)/TCP(dport=80)', "--packet, column 1: it is not an IP packet"),
    "a header length that cannot be": (
        'IP(dst="1.1.1.1",ihl=2)/TCP(dport=80)',
        "--packet, column 1: its IPv4 header says that it has 8 bytes of a packet of 40",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_one_line(text: str, message: str) -> None:
    with pytest.raises(PacketError) as caught:
        packet_from_expression(text)
    said = str(caught.value)
    assert said.startswith(message)
    assert said.isprintable()
    assert len(said) < 400


def packet_or_error(text: str) -> Packet | str:
    try:
        return packet_from_expression(text)
    except PacketError as wrong:
        return str(wrong)


WORDS = [
    "IP", "IPv6", "TCP", "UDP", "ICMP", "SCTP", "Ether", "Dot1Q", "Raw", "ICMPv6ND_NA", "IPv6ExtHdrFragment", "(", ")",
    "()", "/", ",", "=", "src", "dst", "dport", "sport", "flags", "frag", "options", "load", "len", "plen", "ihl", "nh",
    "proto", "version", "offset", "type", "code", "dst='1.1.1.1'", "dst='::1'", "dport=80", '"', "'", "-1", "0", "6",
    "70000", "b''", "[", "]", "[]", "('MSS',1)", "None", "\n", " ", "\0", "é", "**", "lambda:", "{", "}", ":", "%", "\\",
]  # fmt: skip


@settings(max_examples=300)
@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=30).map("".join)))
def test_any_text_is_a_packet_or_a_packet_error(text: str) -> None:
    answer = packet_or_error(text)
    assert isinstance(answer, Packet) or answer.isprintable()


CALLS = st.sampled_from(
    ["IP", "IPv6", "TCP", "UDP", "SCTP", "ICMP", "ICMPv6DestUnreach", "IPv6ExtHdrFragment", "Raw"]
)
NAMES = [
    "src", "dst", "sport", "dport", "flags", "frag", "len", "plen", "ihl", "nh", "proto", "version", "offset", "type",
    "code", "load",
]  # fmt: skip
ODD_VALUES: list[object] = ["1.1.1.1", "::1", "S", "", b"x", None, [], "tcp"]
FIELDS: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.sampled_from(NAMES), st.integers(-1, 300) | st.sampled_from(ODD_VALUES), max_size=4
)


@settings(max_examples=300)
@given(st.lists(st.tuples(CALLS, FIELDS), min_size=1, max_size=5))
def test_any_layers_are_a_packet_or_a_packet_error(layers: list[tuple[str, dict[str, object]]]) -> None:
    text = "/".join(
        f"{name}({', '.join(f'{k}={v!r}' for k, v in fields.items())})" for name, fields in layers
    )
    answer = packet_or_error(text)
    assert isinstance(answer, Packet) or answer.isprintable()


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    four = draw(st.booleans())
    header = 20 if four else 40
    protocols = st.sampled_from([6, 17, 132, 33, 136, 1 if four else 58, 47, 50, 4])
    drawn = Packet(
        src=draw(st.ip_addresses(v=4 if four else 6)),
        dst=draw(st.ip_addresses(v=4 if four else 6)),
        protocol=draw(protocols),
        ttl=draw(st.integers(0, 255)),
        tos=draw(st.integers(0, 255)),
        mac_src=draw(st.none() | st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":"))),
        fragment=draw(st.booleans()),
        length=header + draw(st.integers(20, 65535 - 40)),
    )
    octet, port = st.integers(0, 255), st.integers(0, 65535)
    if drawn.fragment:
        return drawn
    if drawn.protocol in (1, 58):
        kinds = st.sampled_from([0, 1, 3, 5, 8, 11, 13, 128, 129, *range(133, 138)]) | octet
        return drawn.replace(icmp_type=draw(kinds), icmp_code=draw(octet), ttl=draw(st.just(64) | octet))
    if drawn.protocol in (6, 17, 132, 33, 136):
        flags = TcpFlag(draw(st.integers(0, 63))) if drawn.protocol == 6 else None
        return drawn.replace(sport=draw(port), dport=draw(port), tcp_flags=flags)
    return drawn


@given(packets())
def test_a_printed_packet_reads_back(drawn: Packet) -> None:
    assert packet_from_expression(packet_to_expression(drawn)) == drawn


PRINTED = {
    "a SYN": (SYN, "IP(src='203.0.113.1', dst='192.168.0.11')/TCP(sport=40000, dport=31000)"),
    "a longer one": (
        SYN.replace(length=1500, ttl=63, tcp_flags=TcpFlag.ACK | TcpFlag.PSH),
        "IP(src='203.0.113.1', dst='192.168.0.11', ttl=63, len=1500)/TCP(sport=40000, dport=31000, flags='PA')",
    ),
    "an echo request": (
        packet6(58, 48, icmp_type=128, icmp_code=0),
        "IPv6(src='2001:db8::1', dst='fd00::1')/ICMPv6EchoRequest()",
    ),
    "of which only the addresses are known": (
        Packet(src=CLIENT, dst=NODE, protocol=6),
        "IP(src='203.0.113.1', dst='192.168.0.11', proto=6)",
    ),
}


@pytest.mark.parametrize(("given_packet", "text"), PRINTED.values(), ids=PRINTED)
def test_prints(given_packet: Packet, text: str) -> None:
    assert packet_to_expression(given_packet) == text


def test_the_scapy_packet_is_whole_in_its_length() -> None:
    built = scapy_packet(SYN.replace(length=1500))
    assert (built.wirelen, len(bytes(built))) == (1500, 40)


def test_no_name_is_looked_up_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> object:
        raise AssertionError("the network was asked")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "socket"):
        monkeypatch.setattr(socket, name, refuse)
    for text, _ in READ.values():
        packet_from_expression(text)
    for text, _ in REFUSED.values():
        with pytest.raises(PacketError):
            packet_from_expression(text)


@pytest.mark.outside
def test_the_first_use_opens_no_socket_and_says_nothing() -> None:
    code = (
        "import socket\n"
        "class Refused:\n"
        "    def __init__(self, *args, **kwargs): raise SystemExit('a socket was opened')\n"
        "socket.socket = Refused\n"
        "from kinspect.parse.user.packet_text import packet_from_expression as read\n"
        "import sys\n"
        "assert not any(name.startswith('scapy') for name in sys.modules)\n"
        """read('IP(dst="192.0.2.1")/TCP(dport=80)'); read('IPv6(dst="fd00::1")/UDP(dport=53)')"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "x" * 100, "\udcff"])
def test_hostile_text_is_shown_short_and_in_one_line(text: str) -> None:
    assert re.fullmatch(r"[ -~]{1,39}.?", shown(text))
