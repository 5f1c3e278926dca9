"""Entries of nodes' tables as connections: each once, with its service, its client and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from kinspect.flows.frontends import Frontends, Place
from kinspect.flows.match import Interest, Owned, flows
from kinspect.model.cluster import EndpointOwner, Service, ServicePort
from kinspect.model.flows import Flow, ServiceKey, Tracked
from kinspect.parse.node.conntrack import read_connections

WEB = ("shop", "web")
DNS = ("shop", "dns")
SERVICES = [
    Service(
        namespace="shop",
        name="web",
        type="LoadBalancer",
        cluster_ips=(ip_address("10.43.0.1"), ip_address("fd43::1")),
        external_ips=(ip_address("198.51.100.7"),),
        load_balancer_ips=(ip_address("203.0.113.80"),),
        ports=(ServicePort("http", "TCP", 80, 31000),),
    ),
    Service(
        namespace="shop",
        name="dns",
        type="NodePort",
        cluster_ips=(ip_address("10.43.0.2"),),
        ports=(ServicePort("dns", "UDP", 53, 31053), ServicePort("sctp", "SCTP", 9, None)),
    ),
]
NODES = {"node1": "192.168.0.11", "node2": "192.168.0.12"}


@dataclass
class Cluster:
    """node1 has pods 10.42.1.0/24, node2 10.42.2.0/24; the API lists the endpoints given."""

    listed: set[tuple[ServiceKey, Place]] = field(default_factory=set)
    settings: Mapping[str, str] = field(default_factory=dict)

    def is_local(self, node: str, address: str) -> bool | None:
        return NODES[node] == address or (
            address.startswith(f"10.42.{node[-1]}.1") and address.endswith(".1")
        )

    def owner(self, address: str, port: int | None, service: ServiceKey | None) -> Owned:
        for name, own in NODES.items():
            if address == own or address.startswith((f"10.42.{name[-1]}.", f"fd42:{name[-1]}:")):
                return Owned(EndpointOwner(node=name))
        return Owned(EndpointOwner())

    def endpoint_of(self, service: ServiceKey, place: Place) -> bool | None:
        return (service, place) in self.listed if self.listed else None

    def sysctl(self, node: str, key: str) -> str | None:
        return self.settings.get(key)


def tracked(*lines: str) -> list[Tracked]:
    table = read_connections([("\n".join(lines) + "\n").encode()], "x")
    assert table.first_damage is None
    return list(table.entries)


def tcp(
    seen: str, back: str, *, state: str = "ESTABLISHED", left: int = 431999, flags: str = "[ASSURED]"
) -> str:
    """``seen`` and ``back`` as ``SRC:PORT>DST:PORT``."""
    return f"tcp 6 {left} {state} {_tuple(seen)} {_tuple(back)} {flags} mark=0 use=1"


def udp(seen: str, back: str, *, replied: bool = True) -> str:
    return f"udp 17 29 {_tuple(seen)} {'' if replied else '[UNREPLIED] '}{_tuple(back)} mark=0 use=1"


def _tuple(text: str) -> str:
    (src, _, sport), (dst, _, dport) = (end.rpartition(":") for end in text.split(">"))
    return f"src={src} dst={dst} sport={sport} dport={dport}"


def matched(cluster: Cluster | None = None, /, **tables: list[str]) -> list[Flow]:
    return list(
        flows(
            {node: tracked(*lines) for node, lines in tables.items()},
            Frontends(SERVICES),
            cluster or Cluster(),
        )
    )


def brief(found: list[Flow]) -> list[tuple[str, str, str, str | None, str | None]]:
    return [(f.node, f"{f.src}:{f.sport}", f.to, f.via, f.service[1] if f.service else None) for f in found]


def test_a_connection_that_two_nodes_hold_is_counted_at_the_one_that_translated_it() -> None:
    found = matched(
        node2=[tcp("192.168.0.11:777>10.42.2.5:8080", "10.42.2.5:8080>192.168.0.11:777")],
        node1=[tcp("192.0.2.9:5000>192.168.0.11:31000", "10.42.2.5:8080>192.168.0.11:777")],
    )
    assert brief(found) == [("node1", "192.0.2.9:5000", "10.42.2.5:8080", "nodeport", "web")]
    assert (found[0].snat, found[0].endpoint.node, found[0].dst) == ("192.168.0.11", "node2", "192.168.0.11")


def test_a_pods_connection_to_the_cluster_ip_is_one_though_nothing_masquerades_it() -> None:
    found = matched(
        node1=[tcp("10.42.1.9:5000>10.43.0.1:80", "10.42.2.5:8080>10.42.1.9:5000")],
        node2=[tcp("10.42.1.9:5000>10.42.2.5:8080", "10.42.2.5:8080>10.42.1.9:5000")],
    )
    assert brief(found) == [("node1", "10.42.1.9:5000", "10.42.2.5:8080", "clusterip", "web")]
    assert (found[0].snat, found[0].client.node, found[0].own) == (None, "node1", True)


def test_a_pod_that_uses_another_nodes_nodeport_is_the_client_even_if_its_node_masquerades() -> None:
    found = matched(
        node1=[
            tcp("10.42.1.9:5000>192.168.0.12:31000", "192.168.0.12:31000>192.168.0.11:888"),
            tcp("192.168.0.12:999>10.42.1.5:8080", "10.42.1.5:8080>192.168.0.12:999"),
        ],
        node2=[tcp("192.168.0.11:888>192.168.0.12:31000", "10.42.1.5:8080>192.168.0.12:999")],
    )
    assert brief(found) == [("node2", "10.42.1.9:5000", "10.42.1.5:8080", "nodeport", "web")]
    assert (found[0].client.node, found[0].own) == ("node1", False)


def test_a_pod_that_reaches_itself_through_its_service_is_one_connection() -> None:
    found = matched(node1=[tcp("10.42.1.5:5000>10.43.0.1:80", "10.42.1.5:8080>10.42.1.1:777")])
    assert brief(found) == [("node1", "10.42.1.5:5000", "10.42.1.5:8080", "clusterip", "web")]
    assert found[0].snat == "10.42.1.1"


def test_an_endpoint_on_the_host_network_has_the_address_of_its_node() -> None:
    found = matched(
        node1=[tcp("192.0.2.9:5000>203.0.113.80:80", "192.168.0.12:8080>192.168.0.11:777")],
        node2=[tcp("192.168.0.11:777>192.168.0.12:8080", "192.168.0.12:8080>192.168.0.11:777")],
    )
    assert brief(found) == [("node1", "192.0.2.9:5000", "192.168.0.12:8080", "loadbalancer", "web")]
    assert found[0].endpoint.node == "node2"


def test_every_way_in_is_told_by_its_address() -> None:
    found = matched(
        node1=[
            tcp("192.168.0.11:1>10.43.0.1:80", "10.42.1.5:8080>192.168.0.11:1"),
            tcp("192.0.2.9:2>198.51.100.7:80", "10.42.1.5:8080>10.42.1.1:2"),
            tcp("fd00::9:3>fd43::1:80", "fd42:2::5:8080>fd00::9:3"),
            "sctp 132 100 ESTABLISHED src=10.42.1.9 dst=10.43.0.2 sport=4 dport=9 src=10.42.2.5 dst=10.42.1.9 sport=99 dport=4 [ASSURED] mark=0 use=1",
        ]
    )
    assert brief(found) == [
        ("node1", "192.168.0.11:1", "10.42.1.5:8080", "clusterip", "web"),
        ("node1", "192.0.2.9:2", "10.42.1.5:8080", "externalip", "web"),
        ("node1", "fd00::9:3", "[fd42:2::5]:8080", "clusterip", "web"),
        ("node1", "10.42.1.9:4", "10.42.2.5:99", "clusterip", "dns"),
    ]


def test_what_rules_translate_for_no_service_is_told_as_that() -> None:
    (found,) = matched(node1=[tcp("192.0.2.9:5000>192.168.0.11:31777", "10.42.2.5:8080>192.168.0.11:777")])
    assert (found.service, found.via, found.translated, found.stale, found.endpoint.node) == (
        None,
        None,
        True,
        None,
        "node2",
    )


def test_another_nodes_nodeport_is_not_an_address_of_this_node() -> None:
    assert (
        matched(
            node1=[
                udp("192.168.0.11:5>192.168.0.12:31053", "192.168.0.12:31053>192.168.0.11:5", replied=False)
            ]
        )[0].service
        is None
    )


def test_a_udp_flow_that_nothing_translated_goes_nowhere() -> None:
    found = matched(
        node1=[
            udp("10.42.1.9:5>10.43.0.2:53", "10.43.0.2:53>10.42.1.9:5", replied=False),
            udp("192.0.2.9:6>192.168.0.11:31053", "192.168.0.11:31053>192.0.2.9:6", replied=False),
            udp("10.42.1.9:7>10.43.0.2:53", "10.43.0.2:53>10.42.1.9:7"),
        ]
    )
    assert [(f.sport, f.to, f.stale, f.translated) for f in found] == [
        (5, "10.43.0.2:53", "untranslated", False),
        (6, "192.168.0.11:31053", "untranslated", False),
        (7, "10.43.0.2:53", None, False),  # something answers there
    ]


def test_an_endpoint_that_the_api_does_not_list_is_gone() -> None:
    cluster = Cluster(listed={(WEB, ("tcp", "10.42.1.5", 8080))})
    found = matched(
        cluster,
        node1=[
            tcp("192.0.2.9:1>10.43.0.1:80", "10.42.1.5:8080>192.0.2.9:1"),
            tcp("192.0.2.9:2>10.43.0.1:80", "10.42.2.5:8080>192.0.2.9:2"),
            tcp("192.0.2.9:3>10.43.0.1:80", "10.42.1.5:8081>192.0.2.9:3"),
        ],
    )
    assert [f.stale for f in found] == [None, "endpoint-gone", "endpoint-gone"]


def test_of_two_entries_of_one_five_tuple_the_one_in_use_counts() -> None:
    """A client whose balancer sent it to another node keeps its port: the first node's entry lives on."""
    old = tcp("192.0.2.9:5000>203.0.113.80:80", "10.42.2.5:8080>192.168.0.11:777", left=1000)
    new = tcp("192.0.2.9:5000>203.0.113.80:80", "10.42.1.5:8080>192.168.0.12:778", left=2000)
    for tables in ({"node1": [old], "node2": [new]}, {"node2": [new], "node1": [old]}):
        assert brief(matched(**tables)) == [
            ("node2", "192.0.2.9:5000", "10.42.1.5:8080", "loadbalancer", "web")
        ]
    closing = tcp(
        "192.0.2.9:5000>203.0.113.80:80", "10.42.1.5:8080>192.168.0.12:778", state="TIME_WAIT", left=2000
    )
    assert matched(node1=[old], node2=[closing])[0].node == "node1"


def test_a_destination_that_two_nodes_rewrite_ends_where_the_second_sends_it() -> None:
    found = matched(
        node1=[tcp("192.0.2.9:5000>203.0.113.80:80", "192.168.0.12:31000>192.168.0.11:777")],
        node2=[tcp("192.168.0.11:777>192.168.0.12:31000", "10.42.2.5:8080>10.42.2.1:778")],
    )
    assert brief(found) == [("node1", "192.0.2.9:5000", "10.42.2.5:8080", "loadbalancer", "web")]


def test_a_pods_connection_straight_to_a_pod_is_one_though_both_nodes_hold_it() -> None:
    line = tcp("10.42.1.9:5000>10.42.2.5:8080", "10.42.2.5:8080>10.42.1.9:5000")
    for nodes in (("node1", "node2"), ("node2", "node1")):
        (found,) = matched(**{node: [line] for node in nodes})
        assert (found.node, found.service, found.translated) == ("node1", None, False)


def test_a_udp_leg_of_which_the_senders_node_knows_nothing_is_over() -> None:
    """The flow was sent to another endpoint; the old one's node holds the leg until it expires."""
    leg = udp("192.168.0.11:777>10.42.2.5:53", "10.42.2.5:53>192.168.0.11:777")
    lines = {
        "node1": tracked(udp("192.0.2.9:5>192.168.0.11:31053", "10.42.1.5:53>10.42.1.1:6")),
        "node2": tracked(leg),
    }
    for whole, number in ((("node1", "node2"), 1), (("node2",), 2)):
        assert len(list(flows(lines, Frontends(SERVICES), Cluster(), whole))) == number
    both = {**lines, "node1": [*lines["node1"], *tracked(leg)]}
    assert len(list(flows(both, Frontends(SERVICES), Cluster(), ("node1", "node2")))) == 2, (
        "its process sends it"
    )
    held = tracked(tcp("192.168.0.11:777>10.42.2.5:53", "10.42.2.5:53>192.168.0.11:777"))
    assert (
        len(list(flows({"node1": [], "node2": held}, Frontends(SERVICES), Cluster(), ("node1", "node2"))))
        == 1
    )


def test_a_connection_straight_to_a_pod_that_is_masqueraded_is_one() -> None:
    (found,) = matched(
        node1=[tcp("10.42.1.9:5000>10.42.2.5:8080", "10.42.2.5:8080>192.168.0.11:888")],
        node2=[tcp("192.168.0.11:888>10.42.2.5:8080", "10.42.2.5:8080>192.168.0.11:888")],
    )
    assert (found.node, found.src, found.snat) == ("node1", "10.42.1.9", "192.168.0.11")


def test_idle_time_is_the_timeout_of_the_state_less_what_is_left() -> None:
    prefix = "net.netfilter.nf_conntrack_"
    settings = {
        f"{prefix}tcp_timeout_established": "86400",
        f"{prefix}tcp_timeout_time_wait": "120",
        f"{prefix}udp_timeout": "30",
        f"{prefix}udp_timeout_stream": "120",
    }

    def idle(line: str) -> int | None:
        return matched(Cluster(settings=settings), node1=[line])[0].idle

    way, back = "192.0.2.9:1>10.43.0.1:80", "10.42.1.5:8080>192.0.2.9:1"
    assert idle(tcp(way, back, left=86390)) == 10
    assert idle(tcp(way, back, left=100, state="TIME_WAIT")) == 20
    assert idle(udp("10.42.1.9:5>10.43.0.2:53", "10.42.1.5:53>10.42.1.9:5")) == 1
    assert idle(tcp(way, back, left=100_000)) is None, "the timeout was longer when it was set"
    assert idle(tcp(way, back, left=250)) is None, (
        "data that nobody acknowledged has 300 s, whatever the state"
    )
    assert idle(tcp(way, back, left=5, state="SYN_SENT")) is None, "its timeout was not read"


def test_only_what_may_be_of_a_service_is_kept() -> None:
    interest = Interest(
        Frontends(SERVICES), frozenset({("tcp", "10.42.1.5", 8080)}), frozenset(NODES.values())
    )
    assert interest.keep("tcp", "192.0.2.1", 443, "10.42.9.9", 443), "translated, whoever did it"
    assert interest.keep("tcp", "10.43.0.1", 80, "10.43.0.1", 80)
    assert interest.keep("udp", "192.168.0.11", 31053, "192.168.0.11", 31053)
    assert interest.keep("tcp", "10.42.1.5", 8080, "10.42.1.5", 8080)
    assert not interest.keep("tcp", "192.0.2.1", 443, "192.0.2.1", 443)
    assert not interest.keep("tcp", "192.0.2.1", 31000, "192.0.2.1", 31000), "nobody's NodePort"
    assert not interest.keep("icmp", "10.43.0.1", None, "10.43.0.1", None)
    asked: list[str] = []

    def wanted(address: str) -> bool:
        asked.append(address)
        return True

    also = Interest(Frontends(SERVICES), frozenset(), frozenset(), wanted)
    assert also.keep("tcp", "10.42.7.7", 1, "10.42.7.7", 1)
    assert also.keep("tcp", "10.42.7.7", 2, "10.42.7.7", 2)
    assert asked == ["10.42.7.7"], "each address is asked about once"
