"""What would happen: what did happen in real clusters, from the state before and the change alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from kinspect.errors import CallError
from kinspect.kubeproxy.names import LAST_RULE, SHARED
from kinspect.model.answer import TraceAnswer
from kinspect.parse.rules.dump import read_dump
from kinspect.parse.user.target import ServiceTarget
from kinspect.pipeline.gather.sources import Opened, Recorded
from kinspect.pipeline.trace import TraceRequest, trace
from kinspect.pipeline.whatif import Asked, WhatIf, WhatIfRequest, whatif
from kinspect.snapshot.types import NodeName
from tests.clusters import DATA

CHANGES = sorted((DATA / "changes").glob("*.json"))
FILES = {"4": "iptables-save.txt", "6": "ip6tables-save.txt"}
WEB = ServiceTarget("test-service", "default", None)


def predict(
    cluster: str, *changes: tuple[str, str], target: ServiceTarget | None = None, **given: Any
) -> WhatIf:
    asked = [Asked(option, text) for option, text in changes]
    return whatif(WhatIfRequest(target=target, changes=asked, **given), Recorded(DATA / cluster))


def asked(change: dict[str, Any]) -> list[Asked]:
    """The options that make a recorded change."""
    space = change["namespace"]
    found = [
        Asked("set", f"svc/{space}/{change['service']}:{field}={json.dumps(value)}")
        for field, value in change.get("set", {}).items()
    ]
    if relabel := change.get("relabel"):
        what = f"pod/{space}/{relabel['pod']}" if "pod" in relabel else f"node/{relabel['node']}"
        found += [Asked("relabel", f"{what}:{key}={value}") for key, value in relabel["labels"].items()]
    found += [Asked(verb, f"node/{change[verb]}") for verb in ("cordon", "drain") if verb in change]
    for verb in ("unready", "terminating"):
        found += [Asked(verb, f"pod/{space}/{name}") for name in change.get(verb, [])]
    if scale := change.get("scale"):
        found += [Asked("add", f"{space}/{scale['service']}@{node}={n}") for node, n in scale["add"].items()]
    if delete := change.get("delete"):
        found.append(Asked("delete", f"svc/{space}/{delete['service']}"))
    if create := change.get("create"):
        found.append(Asked("apply", "new.json", json.dumps(create).encode()))
    return found


def chains(data: bytes) -> dict[str, list[str]]:
    """The rules of KUBE- chains, by table and chain."""
    dump = read_dump(data, source="dump", family=4)
    found = {}
    for table in dump.tables():
        for name in dump.chains(table):
            chain = dump.chain(table, name)
            if chain is not None and name.startswith("KUBE-"):
                found[f"{table} {name}"] = [" ".join(text.split()[2:]) for text in chain.texts()]
    return found


def alike(name: str, rules: list[str], chosen: str) -> object:
    """Rules with what the API server and the pod network choose left out."""
    plain = [re.sub(chosen, "NEW", rule) for rule in rules] if chosen else rules
    plain = [re.sub(r"KUBE-SEP-\w+", "KUBE-SEP", re.sub(r'"[^"]* -> [^"]*"', '"->"', rule)) for rule in plain]
    if name.split()[1] in SHARED:
        return Counter(plain), [rule for rule in plain[-1:] if LAST_RULE in rule]
    return plain


@pytest.mark.parametrize("file", CHANGES, ids=lambda file: file.stem)
def test_a_recorded_change_is_predicted_rule_by_rule(file: Path) -> None:
    # Recorded in clusters made alike, but for the cluster IPs that each API server chose.
    text = file.read_text()
    for own, ours in json.loads(text)["clusterIPs"].items():
        text = re.sub(rf"(?<![\w.:]){re.escape(own)}(?![\w.:])", ours, text)
    recorded = json.loads(text)
    change = recorded["change"]
    made = whatif(WhatIfRequest(target=None, changes=asked(change)), Recorded(DATA / "changes/before"))
    assert made.answer.undetermined == ()
    # A new service's cluster IP and a new pod's address are not told by the state before.
    chosen = (
        r"10\.43\.\d+\.\d+"
        if "create" in change
        else r"(10\.42\.\d+\.\d+|fd00:42:\w+::\w+)"
        if "scale" in change
        else ""
    )
    for node in ("node1", "node2"):
        for family, name in FILES.items():
            before = chains((DATA / "changes/before/nodes" / node / name).read_bytes())
            after = chains(made.snapshot.nodes[NodeName(node)][name])
            expected = recorded["rules"].get(node, {}).get(family, {})
            if "scale" in change:  # chains of the new endpoints: their names depend on the address
                new = [alike(c, r, chosen) for c, r in expected.items() if c not in before]
                found = [alike(c, r, chosen) for c, r in after.items() if c not in before]
                assert sorted(map(str, found)) == sorted(map(str, new))
                expected = {c: r for c, r in expected.items() if c in before}
                after = {c: r for c, r in after.items() if c in before}
            for chain in {*before, *after, *expected}:
                wanted = expected.get(chain, before.get(chain))
                if wanted is None:
                    assert chain not in after
                else:
                    wanted = [" ".join(rule.split()) for rule in wanted]
                    assert alike(chain, after[chain], chosen) == alike(chain, wanted, chosen), (node, chain)
    if not recorded["rules"]:
        assert not any(effect.differences for effect in made.answer.effects)


def shares(answer: TraceAnswer | None) -> object:
    assert answer is not None
    return {(t.node, t.via): {(o.verdict, o.to, o.snat): o.bounds for o in t.outcomes} for t in answer.traces}


STORY = (
    ("story-1-both-nodes", "story-2-node-relabelled", [("relabel", "node/node2:app=hogehoge")]),
    ("story-2-node-relabelled", "story-3-pod-relabelled", [("relabel", "pod/test-server-2:app=hogehoge")]),
    ("story-1-both-nodes", "story-3-pod-relabelled", [("without", "pod/test-server-2")]),
    ("story-3-pod-relabelled", "story-4-node2-cordoned", [("relabel", "pod/test-server-2:app=test-server"), ("cordon", "node/node2")]),
    ("story-4-node2-cordoned", "story-5-local-policy", [("set", "externalTrafficPolicy=Local")]),
    ("story-5-local-policy", "story-1-both-nodes", [("set", "externalTrafficPolicy=Cluster"), ("uncordon", "node/node2")]),
    ("story-5-local-policy", "story-3-pod-relabelled", [("set", "externalTrafficPolicy=Cluster"), ("unready", "pod/test-server-2")]),
)  # fmt: skip


@pytest.mark.parametrize(("before", "after", "changes"), STORY)
def test_the_states_of_the_story_predict_each_other(
    before: str, after: str, changes: list[tuple[str, str]]
) -> None:
    made = predict(before, *changes, target=WEB)
    (effect,) = [each for each in made.answer.effects if each.service == ("default", "test-service")]
    recorded = trace(TraceRequest(target=WEB), Recorded(DATA / after))
    assert shares(effect.after) == shares(recorded)
    for node in ("node1", "node2"):
        for name in FILES.values():
            wanted = chains((DATA / after / "nodes" / node / name).read_bytes())
            assert chains(made.snapshot.nodes[NodeName(node)][name]) == wanted


def test_the_written_snapshot_answers_as_the_prediction() -> None:
    made = predict("story-1-both-nodes", ("set", "externalTrafficPolicy=Local"), target=WEB)
    again = trace(TraceRequest(target=WEB), Opened(made.snapshot, "default"))
    (effect,) = made.answer.effects
    assert shares(again) == shares(effect.after)
    assert effect.after is not None
    # Lines of the rules that matched are those of the predicted dump.
    paths = [[o.ways[0].events() for o in t.outcomes] for t in effect.after.traces]
    assert paths == [[o.ways[0].events() for o in t.outcomes] for t in again.traces]


def test_a_node_that_lags_is_said_and_nothing_is_claimed_of_it() -> None:
    made = predict("story-6-node1-stale", ("set", "externalTrafficPolicy=Local"), target=WEB)
    (lagging,) = made.answer.lagging
    assert (lagging.node, lagging.services) == ("node1", ("default/test-service",))
    (unknown,) = made.answer.undetermined
    assert (unknown.code, unknown.node, unknown.answered_by) == (
        "node-behind",
        "node1",
        "kinspect diff --expected node/node1",
    )
    assert made.answer.status == "undetermined"


def test_two_back_ends_are_not_called_lagging_because_one_is_left_over() -> None:
    made = predict("split-backends", ("set", "externalTrafficPolicy=Local"), target=WEB)
    assert made.answer.lagging == ()


def test_a_node_in_another_mode_is_said() -> None:
    made = predict("mode-nftables", ("set", "externalTrafficPolicy=Local"), target=WEB)
    assert any("nftables" in unknown.text for unknown in made.answer.undetermined)
    assert made.answer.status == "undetermined"


def test_drained_pods_that_are_replaced_are_bounded_by_where_they_may_run(tmp_path: Path) -> None:
    cluster = owned(tmp_path, "web-3", "web-4", "web-5")
    asked = [Asked("drain", "node/node2")]
    target = ServiceTarget("web", "shop", None)
    made = whatif(WhatIfRequest(target=target, changes=asked), Recorded(cluster))
    (replacement,) = made.answer.replacements
    assert (replacement.service, replacement.pods) == (("shop", "web"), 3)
    (placement,) = replacement.placements  # node2 is cordoned: node1 alone is left
    assert placement.placement == "node1"
    assert dict(placement.nodes) == {"node1": (Fraction(1), Fraction(1))}


def owned(place: Path, *pods: str) -> Path:
    """The recorded cluster, where some pods belong to a ReplicaSet."""
    import shutil

    cluster = place / "cluster"
    shutil.copytree(DATA / "changes/before", cluster)
    file = cluster / "api/pods.json"
    listed = json.loads(file.read_text())
    for pod in listed["items"]:
        if pod["metadata"]["name"] in pods:
            pod["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "web", "controller": True}]
    file.write_text(json.dumps(listed))
    return cluster


def test_changes_are_made_in_their_order() -> None:
    on_off = predict("story-1-both-nodes", ("cordon", "node/node2"), ("uncordon", "node/node2"))
    api = json.loads(on_off.snapshot.api["nodes.json"])
    assert not any(node["spec"].get("unschedulable") for node in api["items"])
    moved = predict(
        "story-1-both-nodes", ("relabel", "pod/test-server-2:app=x"), ("relabel", "pod/test-server-2:app=test-server"), target=WEB
    )  # fmt: skip
    assert moved.answer.effects[0].differences == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("without", "pod/nobody"), "there is no pod default/nobody"),
        (("drain", "node/node9"), "there is no node node9"),
        (("set", "svc/nobody:type=NodePort"), "there is no service default/nobody"),
        (
            ("set", "externalTrafficPolcy=Local"),
            "no field spec.externalTrafficPolcy (did you mean externalTrafficPolicy?)",
        ),
        (
            ("set", "externalTrafficPolicy=local"),
            "refuses externalTrafficPolicy 'local' (it is one of Cluster, Local)",
        ),
        (("set", "ports=[]"), "it has no ports"),
        (("set", "clusterIP=10.43.0.99"), "refuses another clusterIP"),
        (("add", "nobody@node1"), "there is no service default/nobody"),
        (("add", "test-service@node9"), "there is no node node9"),
        (("set", "ports[7].port=1"), "there is no item 7"),
    ],
)
def test_what_is_not_there_or_would_be_refused_is_said(change: tuple[str, str], words: str) -> None:
    with pytest.raises(CallError, match=re.escape(words)):
        predict("story-1-both-nodes", change, target=WEB)
