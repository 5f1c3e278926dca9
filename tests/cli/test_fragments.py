"""Text that does not hold the whole story: what is said to be known, and what would settle the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.run import Ran, kinspect
from tests.clusters import DATA

DUMP = (DATA / "story-1-both-nodes/nodes/node1/iptables-save.txt").read_text()
LISTING = str(DATA / "article-listing.txt")
CHAIN = "nat:KUBE-SVC-FCDRZOMGBO47PTZS"


def traced(text: str | bytes, *argv: str, target: str = "192.168.0.11:31000", local: bool = True) -> Ran:
    """A trace of a text on standard input."""
    data = text.encode() if isinstance(text, str) else text
    own = ("--local", "192.168.0.11") if local else ()
    return kinspect("trace", target, "--rules", "-", *own, *argv, stdin=data, columns=200)


def table(name: str) -> str:
    found = re.search(rf"^\*{name}\n.*?^COMMIT\n", DUMP, re.M | re.S)
    assert found is not None
    return found[0]


def outcomes(ran: Ran) -> dict[str, list[float]]:
    (trace,) = ran.json["traces"]
    return {o["missing"] or o["to"] or o["verdict"]: o["bounds"] for o in trace["outcomes"]}


@pytest.mark.parametrize("table", [[], ["--table", "nat"]])
def test_the_articles_listing_has_no_chain_that_packets_enter_by(table: list[str]) -> None:
    ran = kinspect(
        "trace", "192.168.0.11:31000", "--rules", LISTING, "--local", "192.168.0.11", *table, columns=200
    )
    assert ran.code == 3
    assert f"--start {CHAIN}" in ran.out
    assert not re.search(r"31000 +all", ran.out)
    assert "depends on: chain PREROUTING of table nat, not in this text" in ran.out


def test_with_start_the_shares_are_exact_and_the_source_is_not_known() -> None:
    argv = ["trace", "10.43.174.31:80", "--rules", LISTING, "--start", CHAIN]
    ran = kinspect(*argv)
    assert ran.code == 0
    assert ran.out.count("as ?") == 2
    ends = kinspect(*argv, "-o", "json").json["traces"][0]["outcomes"]
    assert [(o["share"], o["snat"], o["sourceKnown"]) for o in ends] == [(0.5, None, False)] * 2


def test_a_grep_for_the_service_is_bounded_and_gives_its_shares_from_its_first_chain() -> None:
    grep = "\n".join(line for line in DUMP.splitlines() if "test-service" in line)
    ran = traced(grep, "--table", "nat", "-o", "json")
    assert ran.code == 3
    assert all(low == 0 for low, _ in outcomes(ran).values())
    ran = traced(grep, "--start", "nat:KUBE-NODEPORTS", "-o", "json")
    assert ran.code == 0
    assert outcomes(ran) == {"10.42.19.2:80": [0.5, 0.5], "10.42.20.2:80": [0.5, 0.5]}
    assert any("KUBE-MARK-MASQ is not in this text" in note for note in ran.json["traces"][0]["notes"])


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_an_empty_file_settles_nothing(text: str) -> None:
    ran = traced(text)
    assert ran.code == 3
    assert "holds no rules: iptables-save prints nothing without root" in ran.out
    assert not re.search(r"31000 +all", ran.out)


def test_a_save_of_nat_alone_lacks_the_tables_that_the_packet_passes() -> None:
    ran = traced(table("nat"), "-o", "json")
    assert ran.code == 3
    assert outcomes(ran)["tables filter, mangle and raw"] == [0.0, 1.0]
    assert outcomes(ran)["10.42.19.2:80"] == [0.0, 0.5]


def test_a_save_of_several_tables_is_all_that_there_is() -> None:
    assert traced(table("nat") + table("filter")).code == 0
    assert traced(DUMP).code == 0


def test_the_command_that_printed_a_text_tells_whether_it_is_all() -> None:
    assert traced("root@n1:~# iptables-save\n" + table("filter"), target="10.0.0.1:80").code == 0
    assert traced("root@n1:~# iptables-save -t filter\n" + table("filter"), target="10.0.0.1:80").code == 3
    assert traced("$ iptables-save | grep -v cali\n" + DUMP).code == 3


def test_a_jump_to_an_endpoints_chain_that_is_not_there_is_an_end_with_its_share() -> None:
    rules = "".join(
        f"-A KUBE-SVC-X -m statistic --mode random --probability {share} -j KUBE-SEP-{name}\n"
        for name, share in (("A", "0.33333333349"), ("B", "0.50000000000"))
    )
    text = rules + '-A KUBE-SVC-X -m comment --comment "a/b -> 10.0.0.9:80" -j KUBE-SEP-C\n'
    ran = traced(text, "--start", "nat:KUBE-SVC-X", target="10.0.0.1:80")
    assert ran.code == 3, "where it goes is not known"
    assert len(re.findall(r"KUBE-SEP-.*not in this text +≈1/3", ran.out)) == 3
    assert "KUBE-SEP-C (10.0.0.9:80), not in this text" in ran.out


def test_what_is_marked_to_be_dropped_is_dropped() -> None:
    text = (
        "-A KUBE-NODEPORTS -p tcp -m tcp --dport 31000 -j KUBE-XLB-X\n"
        '-A KUBE-XLB-X -m comment --comment "a/b: has no local endpoints" -j KUBE-MARK-DROP\n'
    )
    ran = traced(text, "--start", "nat:KUBE-NODEPORTS", "-o", "json")
    assert outcomes(ran) == {"DROP": [1.0, 1.0]}


def test_a_policy_that_a_grep_left_out_is_not_known() -> None:
    ran = traced(
        "$ iptables-save -t filter | grep FORWARD\n-A FORWARD -d 10.9.9.9/32 -j DROP\n", target="10.0.0.1:80"
    )
    assert ran.code == 3
    assert "the rest of chain FORWARD of table filter" in ran.out


@pytest.mark.parametrize(
    ("text", "argv", "says"),
    [
        ("-A PREROUTING -j A\n", ["--table", "filter"], "table filter has no chain PREROUTING"),
        ("-A A -j MASQUERADE\n", ["--table", "filter"], "-j MASQUERADE belongs to table nat, not to filter"),
        ("*filter\n:INPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n", [], "-:3: table filter has no chain POSTROUTING"),
        ("    0     0 DROP  tcp  --  *  *  0.0.0.0/0  0.0.0.0/0\n", ["--table", "nat"], "--start nat:CHAIN names its chain"),
        ("table ip nat {\n", [], "this is an nft ruleset"),
        ("tcp      6 117 TIME_WAIT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2\n", [], "this is a list of connections"),
        ("create KUBE-LOOP hash:ip,port\n", [], "this is ipsets"),
        ("NAME   TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE\n", [], "this is output of kubectl"),
        ("apiVersion: v1\nkind: List\n", [], "this is an API object"),
    ],
)  # fmt: skip
def test_other_tables_rules_and_other_texts_are_told_by_line(text: str, argv: list[str], says: str) -> None:
    ran = traced(text, *argv)
    assert ran.code == 2
    assert says.replace("-:3", "standard input:3") in ran.err


def test_a_listings_lines_without_a_header_stand_in_the_chain_that_start_names() -> None:
    lines = "    0     0 DROP  tcp  --  *  *  0.0.0.0/0  0.0.0.0/0  tcp dpt:31000\n"
    ran = traced(lines, "--start", "nat:KUBE-NODEPORTS", "-o", "json")
    assert outcomes(ran) == {"DROP": [1.0, 1.0]}


SIX = "-P PREROUTING ACCEPT\n-P POSTROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n"


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (SIX + "-A PREROUTING -d fd00::1/128 -j RETURN\n", ["--table", "nat"]),
        ("# ip6tables -t nat -S\n" + SIX, []),
        (SIX, ["--table", "nat", "-6"]),
        (SIX + "-A PREROUTING -p tcp -j DNAT --to-destination [fd00::2]:80\n", []),
    ],
)
def test_text_of_ipv6_is_told_by_what_it_holds(text: str, argv: list[str]) -> None:
    ran = kinspect("trace", "[fd00::1]:80", "--rules", "-", "--local", "fd00::11", *argv, stdin=text.encode())
    assert ran.code == 3
    assert "ip6tables-save dump was read" not in ran.err
    assert "fd00::" in ran.out


FORMS = {
    "quoted": re.sub("^", "> ", DUMP, flags=re.M),
    "fenced": f"```console\n{DUMP}```\n",
    "a byte order mark": b"\xef\xbb\xbf" + DUMP.encode(),
    "UTF-16": DUMP.encode("utf-16"),
    "UTF-16 without a mark": DUMP.encode("utf-16-le"),
    "of a runtime's log": re.sub("^", "2026-01-02T03:04:05.678Z stdout F ", DUMP, flags=re.M),
    "kubectl logs --prefix": re.sub("^", "[pod/kube-proxy-x/kube-proxy] ", DUMP, flags=re.M),
    "grep -n": "".join(f"{number}:{line}\n" for number, line in enumerate(DUMP.splitlines(), 1)),
    "between prompts": f"[root@node1 ~]# iptables-save\n{DUMP}[root@node1 ~]# \n",
    "through kubectl": f"$ kubectl exec -n kube-system kube-proxy-x -- iptables-save\n{DUMP}$ exit\n",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_dump_as_people_paste_it(text: str | bytes) -> None:
    ran = traced(text, "-o", "json")
    assert ran.code == 0, ran.err
    assert outcomes(ran) == {"10.42.19.2:80": [0.5, 0.5], "10.42.20.2:80": [0.5, 0.5]}


def test_a_service_is_found_by_the_rules_comments(tmp_path: Path) -> None:
    ran = traced(DUMP, target="svc/test-service")
    assert ran.code == 0
    assert (
        "default/test-service, by the rules' comments: cluster IP 10.43.174.31:80, NodePort 31000" in ran.out
    )
    assert "192.168.0.11:31000/tcp" in ran.out
    assert "10.43.174.31:80/tcp" in traced(DUMP, target="default/test-service", local=False).out
    assert "192.168.0.11:31000/tcp" in traced(DUMP, target=":31000").out
    refused = traced(DUMP, "--via", "nodeport", target="svc/test-service", local=False)
    assert (refused.code, "--local ADDRESS" in refused.err) == (2, True)


def test_without_the_hosts_addresses_the_option_that_names_them_is_given() -> None:
    ran = traced(DUMP, local=False)
    assert ran.code == 3
    assert "--local ADDRESS" in ran.out
