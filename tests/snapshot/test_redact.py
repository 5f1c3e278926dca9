"""A redacted capture tells nothing of its cluster, and traces as the first one does."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.model.answer import TraceAnswer
from kinspect.netfilter.registry import option_values
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.node.conntrack import read_connections
from kinspect.parse.user.target import FromPod, Sender, ServiceTarget
from kinspect.pipeline.capture import CaptureRequest, capture
from kinspect.pipeline.gather.sources import Recorded
from kinspect.pipeline.trace import TraceRequest, trace
from kinspect.snapshot.archive import replacing, write_archive
from kinspect.snapshot.redact.addresses import Permutation
from kinspect.snapshot.redact.aliases import Aliases
from kinspect.snapshot.redact.redactor import Redactor
from kinspect.snapshot.redact.texts import NotKept, Texts
from kinspect.snapshot.store import open_snapshot
from tests.clusters import DATA

KEY = b"a key that only this test knows!"
CLUSTERS = sorted(path.parent.name for path in DATA.glob("*/nodes"))
ADDRESSES = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address))


def redacted(cluster: str, tmp_path: Path, redactor: Redactor | None = None, **request: Any) -> Path:
    """The archive that --redact makes of a recording."""
    path = tmp_path / f"{cluster}.tar.gz"
    made = capture(CaptureRequest(redact=True, **request), Recorded(DATA / cluster), redactor)
    with replacing(path) as keep:
        keep(lambda file: write_archive(file, made.snapshot, made.manifest))
    return path


def texts(seed: bytes = KEY) -> Texts:
    return Texts(Permutation(seed), Aliases(seed), option_values)


# -- addresses


@given(ADDRESSES, ADDRESSES)
def test_two_addresses_share_as_many_bits_as_before(one: Any, other: Any) -> None:
    if one.version != other.version:
        return
    if (one.version == 6) and (one.ipv4_mapped is None) != (other.ipv4_mapped is None):
        return
    made = Permutation(KEY)
    assert (int(made.address(one)) ^ int(made.address(other))).bit_length() == (
        int(one) ^ int(other)
    ).bit_length()


@given(ADDRESSES)
def test_an_address_stays_in_the_special_network_it_is_in(address: Any) -> None:
    made = Permutation(KEY).address(address)
    for kind in (
        "is_private",
        "is_loopback",
        "is_link_local",
        "is_multicast",
        "is_reserved",
        "is_unspecified",
    ):
        if address.version == 6 and kind in ("is_private", "is_reserved"):
            continue  # Python's tables name corners of ::/8 that nobody routes
        if kind == "is_private" and (
            address in ip_network("192.0.0.0/16") or address in ip_network("198.18.0.0/15")
        ):
            continue
        if kind != "is_private" or not made.is_private:
            assert getattr(made, kind) == getattr(address, kind), kind


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0", "127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "255.255.240.0", "::", "::1",
     "ff02::1", "203.0.113.1", "2001:db8::1"],
)  # fmt: skip
def test_what_tells_nothing_stays(text: str) -> None:
    assert str(Permutation(KEY).address(ip_address(text))) == text


@pytest.mark.parametrize(
    "network",
    ["10.42.19.0/24", "0.0.0.0/0", "::/0", "fd00:42::/48", "10.0.0.0/8", "128.0.0.0/1", "100.0.0.0/6"],
)
@pytest.mark.parametrize("seed", [b"1", b"2", b"3"])
def test_a_network_holds_what_it_held(network: str, seed: bytes) -> None:
    made, before = Permutation(seed), ip_network(network)
    after = made.network(before)
    inside = [before[0], before[-1], before[before.num_addresses // 3]]
    assert all(made.address(address) in after for address in inside)
    assert after.prefixlen == before.prefixlen


def test_another_key_makes_other_addresses() -> None:
    one, other = (Permutation(seed).address(ip_address("10.42.19.2")) for seed in (b"1", b"2"))
    assert one != other


# -- texts


@pytest.mark.parametrize(
    "line",
    [
        "-A KUBE-SERVICES -d 10.43.0.1/32 -j KUBE-SVC-AAAA",
        "-A KUBE-SEP-X -j DNAT --to-destination 10.42.19.2:8080",
        "-A KUBE-SEP-X -j DNAT --to-destination [fd00:42::7]:8080",
        "-A X-OWN -m iprange --src-range 10.42.19.7-10.42.19.9 -j ACCEPT",
        "-A X-OWN -s 10.42.0.0/255.255.0.0 -j ACCEPT",
        "-A X-OWN -m mac --mac-source 0A:58:0A:2A:13:02 -j ACCEPT",
        '-A X-OWN -m comment --comment "billing/payroll-db has no endpoints" -j REJECT',
        '-A X-OWN -m comment --comment "billing/payroll-db:pg -> 10.42.19.2:5432" -j KUBE-SEP-X',
        '-A X-OWN -m comment --comment "call 555 payroll" -j LOG --log-prefix "payroll: "',
        '-A X-OWN -m string --string "payroll" --algo bm -j DROP',
        '-A X-OWN -m string --hex-string "|0a2a1302|" --algo bm -j DROP',
        '-A X-OWN -m u32 --u32 "0xc=0x0a2a1302" -j DROP',
        "-A X-OWN -m owner --uid-owner payroll -j ACCEPT",
        "-A X-OWN -m set --match-set payroll-nodes src -j ACCEPT",
        "-A PAYROLL-IN -j PAYROLL-OUT",
        "-A cali-pro-kns.payroll -j ACCEPT",
        "-A X-OWN -m nfacct --nfacct-name  payroll -j ACCEPT",
        '-A X-OWN -m comment --comment "x \\" --comment payroll" -j ACCEPT',
        "-A X-OWN -m helper --helper payroll-ftp -j ACCEPT",
        "-A X-OWN -j LED --led-trigger-id payroll-prod",
        "-A X-OWN -m limit --limit 5/min -j RATEEST --rateest-name payrollrate --rateest-interval 250ms",
        "-A X-OWN -m devgroup --src-group payrollgroup -j ACCEPT",
        "-A X-OWN -p tcp -j CT --helper payroll --timeout payrollpolicy",
        "-A X-OWN -m realm --realm payrollrealm -j ACCEPT",
        "-A X-OWN -m frobnicate --secret payroll-secret --port 5551 -j ACCEPT",
        "-A X-OWN -j FROB --token payrolltoken another-payroll",
        "-A X-OWN -m recent --set --name payroll --mask 255.255.255.255 --rsource",
        "-A X-OWN -p tcp -m tcp --dport 80 -j ACCEPT payroll",
        "-A X-OWN -j NFLOG --nflog-prefix -payroll- --nflog-group 5",
        "-A X-OWN -m comment --comment -payroll -j ACCEPT",
        "-A X-OWN -m set --match-set payroll-nodes src -j SET --add-set payroll-seen src --timeout 60",
    ],
)  # fmt: skip
def test_nothing_of_a_rule_tells_the_cluster(line: str) -> None:
    made = texts().rules(f"*nat\n:PAYROLL-OUT - [0:0]\n{line}\nCOMMIT\n")
    assert not re.search(r"(?i)payroll|billing|10\.4[23]\.|fd00:42::7|0a:58:0a|0a2a13|555", made), made
    assert made.count("\n") == 4
    assert made.split("\n")[2].split()[0] == "-A"


@pytest.mark.parametrize(
    "line",
    [
        "-A X-OWN -p tcp -m tcp --dport 8080 -m limit --limit 5/min --limit-burst 10 -j ACCEPT",
        "-A X-OWN -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A X-OWN ! -i eth0 -m addrtype --dst-type LOCAL --limit-iface-in -j REJECT --reject-with tcp-reset",
        "-A X-OWN -m statistic --mode random --probability 0.50000000000 -j MARK --set-xmark 0x4000/0x4000",
        "-A X-OWN -p tcp -m multiport ! --dports 80,443:445 -m length --length 0:100 -j DROP",
        "-A X-OWN -c 5 300 -m recent --rcheck --seconds 60 --name DEFAULT --rsource -j RETURN",
    ],
)
def test_numbers_and_keywords_stay(line: str) -> None:
    rules = f"*nat\n:X-OWN - [0:0]\n{line}\n".replace("X-OWN", "KUBE-X")
    assert texts().rules(rules) == rules


def test_a_quote_that_does_not_end_keeps_nothing() -> None:
    with pytest.raises(NotKept):
        texts().rules('*nat\n-A INPUT -m comment --comment "payroll -j ACCEPT\n')


def test_chains_as_a_listing_by_specification_shows_them() -> None:
    made = texts().rules("-P INPUT ACCEPT\n-N PAYROLL\n-N KUBE-SVC-A\n-A INPUT -j PAYROLL\n")
    chain = made.split("\n")[1].removeprefix("-N ")
    assert made == f"-P INPUT ACCEPT\n-N {chain}\n-N KUBE-SVC-A\n-A INPUT -j {chain}\n"
    assert "PAYROLL" not in made


def test_options_and_kube_proxys_own_words_stay() -> None:
    line = (
        '[7:420] -A KUBE-SVC-AAAA -p tcp -m comment --comment "kubernetes service nodeports; NOTE: this must be'
        ' the last rule in this chain" -m addrtype --dst-type LOCAL -m statistic --mode random --probability'
        " 0.33333333349 -m mark --mark 0x4000/0x4000 -j KUBE-MARK-MASQ"
    )
    assert texts().rules(line) == line


@pytest.mark.parametrize(
    "text", ["root@payroll-1:~# iptables-save", "Chain INPUT (policy ACCEPT)", "iptables -A INPUT -j ACCEPT"]
)
def test_text_of_another_form_is_not_kept(text: str) -> None:
    with pytest.raises(NotKept):
        texts().rules(f"*nat\nCOMMIT\n{text}\n")


def test_a_range_that_is_no_network_is_told() -> None:
    made = texts()
    made.addresses("10.42.19.4-10.42.19.7")
    assert not made.inexact
    made.addresses("10.42.19.4-10.42.19.9")
    assert list(made.inexact) == ["a range of addresses that is no network holds other addresses than it did"]


def test_a_message_keeps_no_address_host_name_or_quoted_word() -> None:
    made = texts()
    made._aliases.of("node", "worker-7")
    said = made.message('worker-7: user "jane" at 10.1.2.3: no route to worker-7.corp.example (IP:10.1.2.4).')
    assert not re.search(r"worker-7|jane|10\.1\.2|corp|example", said), said


CONNECTION = (
    "ipv4     2 tcp      6 431999 ESTABLISHED src=10.42.1.2 dst=10.43.0.1 sport=1000 dport=80 packets=1 bytes=2 src=10.42.19.2"
    " dst=10.42.1.2 sport=8080 dport=1000 packets=3 bytes=4 [ASSURED] mark=7 secctx=payroll_u:object_r:t:s0 zone=1 helper=payroll"
    " labels=payroll,10.42.1.2 delta-time=3 [start=Fri Nov 27 20:51:15 2026] use=1 id=99"
)


def test_a_connection_keeps_its_shape_and_no_address_or_name() -> None:
    made = texts().connections(f"{CONNECTION}\nhello payroll 10.42.1.2\n# cut after 1 entries\n")
    assert not re.search(r"payroll|10\.4[23]\.", made), made
    table = read_connections([made.encode()], "x")
    (old,), (new,) = read_connections([CONNECTION.encode()], "x").entries, table.entries
    names = ("src", "dst", "reply_src", "reply_dst")
    assert replace_fields(new, old, names) == old
    assert (new.src == new.reply_dst, new.translated, table.cut) == (True, True, True)


def test_a_connection_in_the_kernels_own_words_loses_its_addresses_too() -> None:
    line = CONNECTION.replace("10.42.19.2", "fd00:0042:0000:0000:0000:0000:0000:0007")
    made = texts().connections(line)
    assert not re.search(r"0042|fd00:42::7", made)


def replace_fields(new: Any, old: Any, names: Sequence[str]) -> Any:
    return msgspec.structs.replace(new, **{name: getattr(old, name) for name in names})


# -- captures


def services(path: Path) -> Sequence[tuple[str, str]]:
    snapshot = open_snapshot(path)
    return Cluster(snapshot.api, "").service_names()


def traced(path: Path, space: str, name: str, sender: Sender | None) -> TraceAnswer | str:
    request = TraceRequest(target=ServiceTarget(name, space, None), via="all", sender=sender)
    try:
        return trace(request, Recorded(path))
    except Exception as error:  # the same error is the same answer
        return type(error).__name__


def outcomes(answer: TraceAnswer | str, redactor: Redactor | None) -> object:
    """Every trace's shares, by the redacted names and addresses."""
    if isinstance(answer, str):
        return answer

    def name(kind: str, text: str | None) -> str | None:
        return redactor.name(kind, text) if redactor and text else text

    def place(address: Any) -> str:
        return str(redactor.address(address) if redactor else address)

    return Counter(
        (
            name("node", item.node), item.via, place(item.packet.dst), item.packet.dport, item.packet.iif,
            tuple(sorted(
                (o.verdict.value, o.dnat, o.snat is not None, place(o.address) if o.address else "", o.port or 0,
                 o.bounds, name("node", o.backend.node) if o.backend else None,
                 name("pod", o.backend.pod) if o.backend else None, len(o.ways))
                for o in item.outcomes
            )),
        )
        for item in answer.traces
    )  # fmt: skip


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_trace_has_the_shares_that_it_had(cluster: str, tmp_path: Path) -> None:
    redactor = Redactor(KEY, option_values)
    path = redacted(cluster, tmp_path, redactor)
    pods = list(Cluster(open_snapshot(DATA / cluster).api, "").pods)[:1]
    asked = 0
    for space, name in services(DATA / cluster):
        for pod in (None, *pods):
            alias = None
            if pod is not None:
                alias = FromPod(redactor.name("pod", pod[1]), redactor.name("namespace", pod[0]))
            before = traced(DATA / cluster, space, name, FromPod(pod[1], pod[0]) if pod else None)
            after = traced(path, redactor.name("namespace", space), redactor.name("service", name), alias)
            assert outcomes(after, None) == outcomes(before, redactor), (space, name, pod)
            asked += not isinstance(before, str) and len(before.traces)
    assert asked or cluster == "mode-nftables"


def words(document: Any) -> Iterable[str]:
    """Names and label values of an API object."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in (
                "name",
                "namespace",
                "nodeName",
                "hostname",
                "externalName",
                "uid",
                "generateName",
            ) and isinstance(value, str):
                yield value
            if key in ("labels", "selector", "matchLabels") and isinstance(value, dict):
                yield from value.values()
            yield from words(value)
    elif isinstance(document, list):
        for value in document:
            yield from words(value)


# Names that every cluster has, and words that are of Kubernetes and not of this cluster.
COMMON = {"", "default", "kube-system", "kube-public", "kube-node-lease", "kubernetes", "true", "false", "http",
          "https", "dns", "dns-tcp", "metrics", "app", "tcp", "udp", "lab"}  # fmt: skip
OPEN = re.compile(
    r"0\.0\.0\.0|127\.|169\.254\.|2[2-5]\d\.|203\.0\.113\.1$|::$|::1$|ff0[0-9a-f]:|2001:db8::1$|fe80::$"
)
ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:])")


def addresses(text: str) -> set[str]:
    found = set()
    for word in ADDRESS.findall(text):
        try:
            found.add(str(ip_address(word)))
        except ValueError:
            continue
    return {word for word in found if not OPEN.match(word)}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_no_name_and_no_address_of_the_cluster_is_anywhere(cluster: str, tmp_path: Path) -> None:
    redactor = Redactor(KEY, option_values)
    path = redacted(cluster, tmp_path, redactor)
    original = open_snapshot(DATA / cluster)
    names = {name for file in original.api for name in words(json.loads(original.api[file]))}
    names = (names | set(original.nodes)) - COMMON
    assert len(names) > 3
    before = set().union(*(
        addresses(files[file].decode()) for files in (original.api, *original.nodes.values()) for file in files
    ))  # fmt: skip
    image = {str(redactor.address(ip_address(address))) for address in before}
    assert len(image & before) < len(before) / 4
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            text = f"{member.name}\n{file.read().decode() if file else ''}"
            # A permutation may make one of the cluster's addresses of another one of them.
            assert addresses(text) & before <= image, member.name
            for name in names:
                assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), (member.name, name)


def test_each_capture_has_a_key_of_its_own(tmp_path: Path) -> None:
    names = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        folder.mkdir()
        names.append(set(open_snapshot(redacted("zoo-nft", folder)).nodes))
    assert names[0].isdisjoint(names[1])


def test_rules_that_cannot_be_redacted_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "nodes/n1").mkdir(parents=True)
    (tmp_path / "nodes/n1/iptables-save.txt").write_text("Chain INPUT (policy ACCEPT)\ntarget prot opt\n")
    made = capture(CaptureRequest(redact=True), Recorded(tmp_path))
    assert [dict(files) for files in made.snapshot.nodes.values()] == [{}]
    assert len(made.manifest.failures) == 1
    assert "iptables-save.txt is not as the tool prints it: left out by --redact" in made.manifest.failures[0]
    assert list(made.snapshot.failed.values()) == [made.manifest.failures[0].partition(": ")[2]]


def test_a_redacted_capture_says_so_and_not_where_it_is_from(tmp_path: Path) -> None:
    manifest = open_snapshot(redacted("story-1-both-nodes", tmp_path)).manifest
    assert manifest is not None
    assert manifest.redaction is not None
    assert manifest.source is None


def test_fields_that_nobody_asks_for_do_not_come_along(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    (folder / "api").mkdir(parents=True)
    pod = {"metadata": {"name": "p", "namespace": "n", "annotations": {"a": "hunter2"}, "labels": {"team": "hunter2"}},
           "spec": {"containers": [{"env": [{"name": "PASSWORD", "value": "hunter2"}]}], "nodeName": "hunter2"}}  # fmt: skip
    (folder / "api/pods.json").write_text(json.dumps({"kind": "PodList", "items": [pod], "hunter2": 1}))
    (folder / "api/secrets.json").write_text("hunter2")
    (folder / "nodes/hunter2").mkdir(parents=True)
    (folder / "nodes/hunter2/motd.txt").write_text("hunter2")
    (folder / "nodes/hunter2/sysctl.txt").write_text("kernel.hostname = hunter2\nnet.ipv4.ip_forward = 1\n")
    made = capture(CaptureRequest(redact=True), Recorded(folder))
    whole = b"".join(
        [*made.snapshot.api.values(), *(b for f in made.snapshot.nodes.values() for b in f.values())]
    )
    assert b"hunter2" not in whole
    assert b"ip_forward = 1" in whole
    assert "hunter2" not in str(made.manifest)
