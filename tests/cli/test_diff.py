"""``kinspect diff`` and ``kinspect rules`` as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run import kinspect
from tests.clusters import DATA

STALE = ("--snapshot", str(DATA / "story-6-node1-stale"))
BOTH, LOCAL = str(DATA / "story-1-both-nodes"), str(DATA / "story-5-local-policy")


def altered(tmp_path: Path, old: str, new: str, cluster: str = "story-1-both-nodes") -> str:
    """A recorded cluster, where node1's rules read otherwise."""
    import shutil

    shutil.copytree(DATA / cluster, tmp_path / "cluster")
    file = tmp_path / "cluster/nodes/node1/iptables-save.txt"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return str(tmp_path / "cluster")


@pytest.mark.parametrize(
    "cluster", ["story-1-both-nodes", "zoo-nft", "zoo-legacy", "split-backends", "changes/before"]
)
def test_nodes_in_sync_are_as_kube_proxy_would_write_them(cluster: str) -> None:
    ran = kinspect("diff", "--expected", "--snapshot", str(DATA / cluster))
    assert (ran.code, ran.err) == (0, "")
    assert {line.partition(": ")[2] for line in ran.out.splitlines()} == {
        "the rules are those that kube-proxy would write now"
    }


def test_a_stale_node_names_what_is_missing_and_what_is_left_over() -> None:
    ran = kinspect("diff", "--expected", *STALE, columns=300)
    assert ran.code == 1
    assert ran.out.startswith(
        "node1, IPv4: 3 rules missing, 9 too many, for default/test-service;"
        " the API's last change of these: 2026-11-23T07:06:07Z\n"
    )
    assert "  nat KUBE-SVL-AEJ565DT7YN2S3PD (default/test-service), which should not be there\n" in ran.out
    assert "  + -A KUBE-EXT-AEJ565DT7YN2S3PD -j KUBE-SVC-AEJ565DT7YN2S3PD\n" in ran.out
    assert kinspect("diff", "--expected", "node/node2", *STALE).code == 0
    found = kinspect("diff", "--expected", "node1", "-4", *STALE, "-o", "json").json
    assert (found["kind"], found["verdict"], found["exitCode"]) == ("Drift", "differs", 1)
    (rules,) = found["rules"]
    assert (rules["node"], rules["family"], rules["inSync"], rules["services"]) == (
        "node1",
        4,
        False,
        ["default/test-service"],
    )
    assert (rules["missing"], rules["surplus"], len(rules["chains"])) == (3, 9, 4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.50000000000", "0.25000000000", "1 rule missing, 1 too many, for default/test-service"),
        (" -j MARK --set-xmark 0x4000/0x4000", " -m limit --limit 3/sec -j MARK --set-xmark 0x4000/0x4000", "1 rule missing, 1 too many"),
        (":KUBE-PROXY-CANARY - [0:0]\n", "", None),
        ("-A KUBE-FIREWALL !", "-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\n-A KUBE-FIREWALL !", None),
        ("-j MARK --set-xmark 0x4000/0x0\n", "-j MARK --set-xmark 0x4000/0x4000\n", "1 rule missing, 1 too many"),
        ("*nat\n", "*nat\n:MINE - [0:0]\n-A MINE -j RETURN\n", None),
    ],
)  # fmt: skip
def test_what_counts_as_a_difference(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    ran = kinspect(
        "diff", "--expected", "node/node1", "-4", "--snapshot", altered(tmp_path, old, new), columns=300
    )
    assert ran.code == (0 if said is None else 1), ran.out
    assert said is None or said in ran.out


def test_a_node_without_any_rules_of_kube_proxy_lacks_all_of_them(tmp_path: Path) -> None:
    cluster = altered(tmp_path, "", "")
    file = Path(cluster) / "nodes/node1/iptables-save.txt"
    kept = [
        line
        for line in file.read_text().splitlines()
        if " KUBE-SERVICES " not in f"{line} " and "-j KUBE-SERVICES" not in line
    ]
    file.write_text("\n".join([*kept, ""]))
    ran = kinspect("diff", "--expected", "node/node1", "-4", "--snapshot", cluster, columns=300)
    assert ran.code == 1
    assert "nat KUBE-SERVICES" in ran.out


def test_a_node_in_another_mode_is_not_called_in_sync() -> None:
    ran = kinspect("diff", "--expected", "--snapshot", str(DATA / "mode-nftables"))
    assert (ran.code, ran.out.strip()) == (3, "")
    assert "kube-proxy does not write iptables rules there" in ran.err


def test_two_states_by_shares_then_endpoints_then_rules() -> None:
    ran = kinspect("diff", BOTH, str(DATA / "story-3-pod-relabelled"), columns=300)
    assert (ran.code, ran.err) == (0, "")
    shares = ran.out.index("test-server-2 on node2 gets no more traffic; test-server-1 on node1 gets more")
    endpoints = ran.out.index("  - default/test-service  10.42.20.2:80  test-server-2 on node2, ready")
    rules = ran.out.index("node1, IPv4: ")
    assert shares < endpoints < rules
    found = kinspect("diff", BOTH, LOCAL, "svc/test-service", "-o", "json").json
    assert [
        (d["node"], d["to"], d["before"]["share"], d["after"]["share"]) for d in found["differences"]
    ] == [
        ("node1", "10.42.19.2:80", 0.5, 1.0),
        ("node1", "10.42.20.2:80", 0.5, 0.0),
        ("node2", "10.42.19.2:80", 0.5, 0.0),
        ("node2", "10.42.20.2:80", 0.5, 1.0),
    ]
    assert (found["before"], found["after"], found["exitCode"]) == (BOTH, LOCAL, 0)


def test_two_states_that_do_the_same() -> None:
    ran = kinspect("diff", BOTH, str(DATA / "story-2-node-relabelled"), columns=300)
    assert (ran.code, ran.out.splitlines()[1:]) == (0, ["No share of any service's traffic differs."])


def test_rules_of_others_are_compared_too(tmp_path: Path) -> None:
    other = altered(tmp_path, "-A POSTROUTING", "-A POSTROUTING -s 10.0.0.0/8 -j ACCEPT\n-A POSTROUTING")
    ran = kinspect("diff", BOTH, other, columns=300)
    assert "  nat POSTROUTING\n  + -A POSTROUTING -s 10.0.0.0/8 -j ACCEPT\n" in ran.out


def test_rules_are_text_that_is_read_again(tmp_path: Path) -> None:
    recorded = kinspect("rules", "node/node1", "-4", "--demo")
    expected = kinspect("rules", "node/node1", "-4", "--expected", "--demo")
    assert (recorded.code, expected.code) == (0, 0)
    assert (
        recorded.out.splitlines()[0]
        == "# iptables-save of node1, kube-proxy's rules: node1/iptables-save.txt"
    )
    assert sorted(recorded.out.splitlines()[1:]) == sorted(expected.out.splitlines()[1:])
    file = tmp_path / "node1.rules"
    file.write_text(expected.out)
    packet = (
        "--start",
        "nat:KUBE-SERVICES",
        "--local",
        "192.168.0.11",
        "--packet",
        'IP(src="1.2.3.4",dst="192.168.0.11")/TCP(dport=31000)',
    )
    traced = kinspect("trace", "--rules", str(file), *packet, "-o", "json")
    assert traced.code == 0, traced.err
    assert {outcome["to"] for outcome in traced.json["traces"][0]["outcomes"]} == {
        "10.42.19.2:80",
        "10.42.20.2:80",
    }
    both = kinspect("rules", "--demo", "-o", "json").json
    assert [(each["node"], each["family"]) for each in both["rules"]] == [
        ("node1", 4),
        ("node1", 6),
        ("node2", 4),
        ("node2", 6),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("diff",),
        ("diff", BOTH),
        ("diff", BOTH, BOTH),
        ("diff", BOTH, LOCAL, ":31000"),
        ("diff", BOTH, LOCAL, "svc/nobody"),
        ("diff", BOTH, "/nowhere"),
        ("diff", BOTH, LOCAL, "--demo"),
        ("diff", BOTH, LOCAL, "--kube-proxy-config", "/nowhere"),
        ("diff", "--expected", "pod/x", "--demo"),
        ("diff", "--expected", "node/node9", "--demo"),
        ("rules", "node/node9", "--demo"),
        ("rules", "svc/x", "--demo"),
    ],
)
def test_a_call_that_is_wrong_is_one_line(words: tuple[str, ...]) -> None:
    ran = kinspect(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
