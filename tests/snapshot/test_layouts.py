"""Where other tools put a node's rules, by the tar files that they would make."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinspect.errors import SnapshotError
from kinspect.snapshot.dumps import rules_files
from kinspect.snapshot.store import open_snapshot
from tests.cli.run import kinspect
from tests.clusters import DATA
from tests.snapshot.test_store import archive, folder

NODE = DATA / "story-1-both-nodes/nodes/node1"
V4, V6 = (NODE / "iptables-save.txt").read_bytes(), (NODE / "ip6tables-save.txt").read_bytes()


def names(path: Path) -> dict[str, list[str]]:
    return {name: sorted(files) for name, files in open_snapshot(path).nodes.items()}


# -- log collectors

EKS = {
    "./networking/iptables-save.txt": V4,
    "./networking/iptables-nat.txt": b"Chain PREROUTING (policy ACCEPT)\n",
    "./networking/conntrack.txt": b"*** Output of conntrack -S ***\n",
    "./sysctls/sysctl_all.txt": b"kernel.hostname = ip-10-0-1-7\nnet.ipv4.ip_forward = 1\n",
    "./var_log/messages": b"*nat\n" * 10,
}


def test_eks_log_collector(tmp_path: Path) -> None:
    path = archive(tmp_path / "eks_i-0123456789abcdef0_2026-11-23_0706-UTC_0.7.3.tar.gz", EKS)
    assert names(path) == {"i-0123456789abcdef0": ["iptables-save.txt", "sysctl.txt"]}
    assert open_snapshot(path).nodes["i-0123456789abcdef0"]["iptables-save.txt"] == V4  # type: ignore[index]


def test_eks_log_collector_renamed_tells_its_node_itself(tmp_path: Path) -> None:
    members = EKS | {"./system/instance-id.txt": b"i-0feedbeef\n"}
    assert list(names(archive(tmp_path / "case-42.tgz", members))) == ["i-0feedbeef"]
    assert list(names(folder(tmp_path / "unpacked", members))) == ["i-0feedbeef"]


def retina() -> dict[str, bytes]:
    listing = b"Chain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n    pkts      bytes target\n\n"
    rules = (
        b"Summary:\n\n/usr/sbin/iptables-save(IPtables rules)\n/usr/sbin/iptables -vnx -L(IPtables rules and stats in"
        b" filter table)\n\nExecute:\n\n/usr/sbin/iptables-save\n\n"
        + V4
        + b"/usr/sbin/iptables -vnx -L\n\n"
        + listing
    )
    addr = (NODE / "ip-addr.json").read_bytes().strip()
    resources = (
        b"Summary:\n\n/usr/sbin/ip -d -j addr show(IP address configuration)\n/usr/sbin/ip -d -j neighbor show(IP"
        b" neighbor status)\n\nExecute:\n\n/usr/sbin/ip -d -j addr show\n\n" + addr + b"\n"
        b"/usr/sbin/ip -d -j neighbor show\n\n[]\n/usr/sbin/ip rule list\n\n0:\tfrom all lookup local\n"
    )
    return {
        "drops-node1-20261123070617UTC.pcap": b"\xd4\xc3\xb2\xa1",
        "iptables-rules.txt": rules,
        "ip-resources.txt": resources,
        "socket-stats.txt": b"Total: 3\n",
        "proc-sys-net/ipv4/ip_forward": b"1\n",
        "proc-sys-net/ipv4/conf/eth0.7/rp_filter": b"2\n",
        "proc-sys-net/ipv4/tcp_rmem": b"4096\n",
    }


def test_retina_capture(tmp_path: Path) -> None:
    snapshot = open_snapshot(archive(tmp_path / "drops-node1-20261123070617UTC.tar.gz", retina()))
    (files,) = snapshot.nodes.values()
    assert list(snapshot.nodes) == ["drops-node1"]
    assert files["iptables-save.txt"].strip() == V4[: V4.rindex(b"COMMIT") + 6].strip()
    assert json.loads(files["ip-addr.json"]) == json.loads((NODE / "ip-addr.json").read_bytes())
    assert files["sysctl.txt"] == b"net.ipv4.conf.eth0/7.rp_filter = 2\nnet.ipv4.ip_forward = 1\n"


def test_lines_of_a_retina_capture_are_the_files_own(tmp_path: Path) -> None:
    members = retina()
    snapshot = open_snapshot(archive(tmp_path / "c-n-20261123070617UTC.tar.gz", members))
    (files,) = snapshot.nodes.values()
    line = members["iptables-rules.txt"].split(b"\n").index(b"*nat")
    assert files["iptables-save.txt"].split(b"\n")[line] == b"*nat"


ANTREA = {
    "iptables": V4 + V6,
    "ipset": b"create S hash:ip\n",
    "address": b"1: lo\n",
    "agentinfo": b"",
    "logs/agent/x.log": b"",
}


def test_antrea_support_bundle_of_an_agent(tmp_path: Path) -> None:
    path = archive(tmp_path / "agent_worker-1.tar.gz", ANTREA)
    assert names(path) == {"worker-1": ["ip6tables-save.txt", "ipset-save.txt", "iptables-save.txt"]}


def test_antrea_support_bundle_of_a_cluster(tmp_path: Path) -> None:
    root = tmp_path / "support-bundles_20261123T070617Z"
    root.mkdir()
    (root / "clusterinfo").write_text("#pods\n")
    for node in ("worker-1", "worker-2"):
        archive(root / f"agent_{node}.tar.gz", ANTREA)
    archive(root / "controller.tar.gz", {"controllerinfo": b""})
    assert list(names(root)) == ["worker-1", "worker-2"]


def test_two_archives_of_one_node_are_told(tmp_path: Path) -> None:
    for number in ("1", "2"):
        archive(tmp_path / f"{number}.tar.gz", EKS | {"./system/instance-id.txt": b"i-0feedbeef"})
    with pytest.raises(SnapshotError, match="two archives are of node i-0feedbeef"):
        open_snapshot(tmp_path)


def test_an_archive_of_a_log_collector_can_be_traced(tmp_path: Path) -> None:
    path = archive(tmp_path / "eks_i-0123_2026-11-23_0706-UTC_0.7.3.tar.gz", EKS)
    ran = kinspect(
        "trace", "192.168.0.11:31000", "--snapshot", str(path), "--local", "192.168.0.11", "-o", "json"
    )
    assert ran.code == 0, ran.err
    (trace,) = ran.json["traces"]
    assert trace["node"] == "i-0123"
    assert {outcome["to"]: outcome["share"] for outcome in trace["outcomes"]} == {
        "10.42.19.2:80": 0.5, "10.42.20.2:80": 0.5,
    }  # fmt: skip


def test_a_damaged_rule_is_told_by_the_file_that_it_is_in(tmp_path: Path) -> None:
    root = folder(tmp_path / "rules", {"n.rules": V4.replace(b"--probability 0.5", b"--probability 0,5")})
    ran = kinspect("trace", "192.168.0.11:31000", "--snapshot", str(root), "--local", "192.168.0.11")
    assert ran.code == 3
    assert f"{root}/n.rules:" in ran.err


# -- by hand


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"node1.rules": V4}, {"node1": ["iptables-save.txt"]}, id="a file a node"),
        pytest.param({"node1.txt": V4, "README.txt": b"hello\n"}, {"node1": ["iptables-save.txt"]}, id="among others"),
        pytest.param({"node1.rules.gz": gzip.compress(V4)}, {"node1": ["iptables-save.txt"]}, id="gzipped"),
        pytest.param({"n.corp.example.rules": V4}, {"n.corp.example": ["iptables-save.txt"]}, id="dots in the name"),
        pytest.param({"n.rules": V6}, {"n": ["ip6tables-save.txt"]}, id="IPv6 by its header"),
        pytest.param({"n.v6.rules": b"*nat\nCOMMIT\n"}, {"n": ["ip6tables-save.txt"]}, id="IPv6 by its name"),
        pytest.param({"n.v4.txt": V4, "n.v6.txt": V6}, {"n": ["ip6tables-save.txt", "iptables-save.txt"]}, id="a file a family"),
        pytest.param({"n.ip6tables-save.txt": V6, "n.iptables-save.txt": V4}, {"n": ["ip6tables-save.txt", "iptables-save.txt"]}, id="named by the tools"),
        pytest.param({"n.rules": V4 + V6}, {"n": ["ip6tables-save.txt", "iptables-save.txt"]}, id="both families in one"),
        pytest.param({"n.rules": V4, "n.txt": V4}, {"n": ["iptables-save.txt"]}, id="twice the same"),
    ],
)  # fmt: skip
def test_loose_files(tmp_path: Path, files: dict[str, bytes], expected: dict[str, list[str]]) -> None:
    assert names(folder(tmp_path / "rules", files)) == expected
    assert (
        names(archive(tmp_path / "rules.tar", {f"rules/{name}": data for name, data in files.items()}, "w"))
        == expected
    )


def test_the_files_of_one_node_alone() -> None:
    assert set(open_snapshot(NODE).nodes) == {"node1"}
    assert open_snapshot(NODE).nodes["node1"]["ip-addr.json"] == (NODE / "ip-addr.json").read_bytes()  # type: ignore[index]
    assert names(NODE / "iptables-save.txt") == {"node1": ["iptables-save.txt"]}


def test_two_dumps_of_a_node_that_disagree_are_told(tmp_path: Path) -> None:
    root = folder(tmp_path / "rules", {"n.rules": V4, "n.txt": V4.replace(b"31000", b"31001")})
    with pytest.raises(SnapshotError, match=r"n\.rules and .*n\.txt are two dumps of node n, and disagree"):
        open_snapshot(root)


def test_two_dumps_in_one_file_that_disagree_are_told_by_their_lines() -> None:
    whole = V4 + V4.replace(b"31000", b"31001")
    with pytest.raises(
        SnapshotError, match=r"node\.txt: two dumps of table nat disagree, at lines \d+ and \d+"
    ):
        rules_files(whole, "node.txt")


def test_counters_and_times_are_no_disagreement() -> None:
    later = V4.replace(b"[0:0]", b"[7:420]").replace(b"Mon Nov 23", b"Tue Nov 24")
    assert later != V4
    assert list(rules_files(V4 + later, "node.txt")) == ["iptables-save.txt"]


@pytest.mark.parametrize("name", ["node1.txt", "node1", "node1.rules.gz", "node1.iptables-save.txt"])
def test_one_nodes_rules_in_one_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(V4 + V6) if name.endswith(".gz") else V4 + V6)
    assert names(path) == {"node1": ["ip6tables-save.txt", "iptables-save.txt"]}


def test_lines_of_each_family_keep_their_numbers() -> None:
    whole = V4 + V6
    for data in rules_files(whole, "n").values():
        for number, line in enumerate(data.split(b"\n")):
            assert line in (b"", whole.split(b"\n")[number])


def test_the_two_back_ends_in_one_file_stay_apart() -> None:
    legacy = b"# Generated by iptables-save v1.8.9 on Mon Nov 23 07:06:17 2026\n*nat\n-A PREROUTING -j ACCEPT\nCOMMIT\n"
    nft = legacy.replace(b"iptables-save v1.8.9", b"iptables-nft-save v1.8.9 (nf_tables)").replace(
        b"ACCEPT", b"DROP"
    )
    assert sorted(rules_files(legacy + nft, "n")) == ["iptables-legacy-save.txt", "iptables-nft-save.txt"]


def test_a_folder_of_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="nor a log collector's files"):
        open_snapshot(folder(tmp_path / "x", {"notes.txt": b"hello"}))


# -- hostile archives: one line each, and nothing on the disk


def hostile(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


GOOD = (member("nodes/n1/iptables-save.txt"), V4)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(member("../../etc/cron.d/x"), "points outside the archive", id="up"),
        pytest.param(member("nodes/../../x"), "points outside the archive", id="up in the middle"),
        pytest.param(member("/etc/passwd"), "points outside the archive", id="absolute"),
        pytest.param(member("nodes/n2/iptables-save.txt", tarfile.SYMTYPE, "/etc/shadow"), "is a link or a device", id="symlink"),
        pytest.param(member("nodes/n2/iptables-save.txt", tarfile.LNKTYPE, "nodes/n1/iptables-save.txt"), "is a link or a device", id="hard link"),
        pytest.param(member("api/services.json", tarfile.CHRTYPE), "is a link or a device", id="device"),
        pytest.param(member("api/services.json", tarfile.FIFOTYPE), "is a link or a device", id="pipe"),
        pytest.param(member("nodes/n1/iptables-save.txt"), "is in it twice", id="twice"),
        pytest.param(member("nodes/n1/iptables-save.txt.gz"), "gzip data is damaged|is in it twice", id="twice, once packed"),
        pytest.param(member("nodes/n\x1b[2J/iptables-save.txt"), "is not a valid file name", id="escape"),
        pytest.param(member(f"nodes/{'n' * 300}/x"), "is not a valid file name", id="too long"),
        pytest.param(member("nodes/n\n1/x"), "is not a valid file name", id="line break"),
    ],
)  # fmt: skip
def test_a_hostile_member_is_refused_in_one_line(tmp_path: Path, bad: tarfile.TarInfo, says: str) -> None:
    path = hostile(tmp_path / "s.tar.gz", GOOD, (bad, b""))
    with pytest.raises(SnapshotError, match=says) as caught:
        open_snapshot(path)
    assert str(caught.value).isprintable(), "one line, and nothing that a terminal would obey"
    assert len(str(caught.value)) < 400
    assert list(tmp_path.iterdir()) == [path]


def test_links_that_nobody_reads_are_passed_over(tmp_path: Path) -> None:
    path = hostile(tmp_path / "s.tar.gz", GOOD, (member("proc-net/x", tarfile.SYMTYPE, "/etc/shadow"), b""))
    assert list(names(path)) == ["n1"]


def test_a_link_out_of_an_unpacked_folder_is_not_followed(tmp_path: Path) -> None:
    root = folder(tmp_path / "s", {"nodes/n1/iptables-save.txt": V4})
    (tmp_path / "secret").write_text("s3cret")
    (root / "nodes/n1/ip-addr.json").symlink_to("../../../secret")
    with pytest.raises(SnapshotError, match=r"ip-addr\.json: a link that points out of the folder"):
        open_snapshot(root)


def test_an_archive_may_come_by_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    whole = hostile(tmp_path / "s.tar.gz", GOOD).read_bytes()
    writer = threading.Thread(target=path.write_bytes, args=(whole,))
    writer.start()
    assert list(open_snapshot(path).nodes) == ["n1"]
    writer.join()


def test_an_archive_of_several_snapshots_is_not_joined(tmp_path: Path) -> None:
    path = archive(tmp_path / "s.tar", {"one/api/nodes.json": b"{}", "two/api/nodes.json": b"{}"}, "w")
    with pytest.raises(SnapshotError, match="it holds several snapshots"):
        open_snapshot(path)


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinspect.snapshot.tarball.MOST_MEMBERS", 100)
    path = hostile(tmp_path / "s.tar.gz", GOOD, *((member(f"x/{n}"), b"") for n in range(200)))
    with pytest.raises(SnapshotError, match="more than 100 members"):
        open_snapshot(path)


def test_a_bomb_beside_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinspect.snapshot.tarball.LARGEST_ARCHIVE", 1 << 20)
    path = hostile(tmp_path / "s.tar.gz", GOOD, (member("x/bomb"), b"\0" * (1 << 22)))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(SnapshotError, match="unpacks to more than 1 MiB"):
        open_snapshot(path)


def test_many_files_that_are_large_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinspect.snapshot.tarball.LARGEST_KEPT", 1 << 20)
    packed = gzip.compress(b"\0" * (1 << 19))
    path = hostile(tmp_path / "s.tar.gz", *((member(f"nodes/n/{n}.gz"), packed) for n in range(4)))
    with pytest.raises(SnapshotError, match="unpacks to more than 1 MiB"):
        open_snapshot(path)


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    path = tmp_path / "s.tar"
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 10240)
    with pytest.raises(SnapshotError, match="a header of 4294967296 bytes"):
        open_snapshot(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_archive_with_any_bytes_changed_opens_or_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for name in (
            "k/manifest.json",
            "k/api/services.json",
            "k/nodes/n1/iptables-save.txt",
            f"k/{'x' * 120}",
        ):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"{}\n\n"))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 6000))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # with the sum that a header must have, it is believed
        for at in range(0, 6144, 512):
            block = whole[at : at + 512]
            if block[257:262] == b"ustar":
                total = sum(block) - sum(block[148:156]) + 8 * 32
                whole[at + 148 : at + 156] = b"%06o\0 " % total
    path.write_bytes(whole)
    try:
        snapshot = open_snapshot(path)
    except SnapshotError as error:
        assert str(error).isprintable()
    else:
        assert all(name.isprintable() for name in snapshot.nodes)
