"""A traffic policy: assertions that a team keeps in git (``kinspect check --policy FILE``).

YAML, or JSON, which is YAML too::

    apiVersion: kinspect/v1
    kind: TrafficPolicy
    assertions:
      - name: node2 is out of service     # by default the assertion's own words
        no-traffic:
          to: [node/node2]                # node/NAME, pod/NAMESPACE/NAME, an address; or: drained
          includeDaemonsets: false        # pods of DaemonSets on those nodes count, too
          established: false              # existing connections count, too
          drainedTaints: [maintenance]    # taints that mean drained, besides the usual ones
          allowTerminating: false         # traffic to terminating endpoints if no others remain
      - reachable:
          endpoints: 2                    # at least so many get some, from everywhere in the scope
        services: [shop/web]
        from: [outside, pod]
      - balanced:
          tolerance: 10%                  # of the fair share; 0 allows what the kernel rounds only
      - in-sync:
      - local-only:
        services: ["shop/*"]

An item has exactly one assertion, and may narrow its scope:

    services, ignore   NAMESPACE/NAME[:PORT] or svc/NAME[:PORT], * for any text; by default all, and none
    from               outside, pod, process: who sends
    via                nodeport, clusterip, loadbalancer, externalip: the way in
    entry              nodes where it enters

Strict: an unknown field is an error that names file, line and field. Anchors and aliases are not
read, so a small file stays small.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Final, TypeVar, get_args

import yaml

from kinspect.errors import CallError, PolicyError
from kinspect.model.answer import Via
from kinspect.model.check import (
    Assertion,
    Balanced,
    Claim,
    InSync,
    LocalOnly,
    NoTraffic,
    NoTrafficTo,
    Reachable,
    Scope,
)  # fmt: skip
from kinspect.model.traffic import SenderClass
from kinspect.parse.user.target import read_aim, read_pattern

T = TypeVar("T")

_LARGEST: Final = 256 << 10  # bytes
_DEEPEST: Final = 16  # collections within each other; the format has 5
_API_VERSION: Final = "kinspect/v1"
_KIND: Final = "TrafficPolicy"
_PERCENT: Final = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,6})?)\s?%")
_NUMBER: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,6})?")
_VIAS: Final[dict[str, Via]] = {
    "nodeport": "nodeport",
    "clusterip": "clusterip",
    "loadbalancer": "loadbalancer",
    "externalip": "externalip",
}
_SOURCES: Final[dict[str, SenderClass]] = {name: name for name in get_args(SenderClass)}
_SCOPE: Final = ("name", "services", "ignore", "from", "via", "entry")


def read_policy(data: bytes, source: str) -> list[Assertion]:
    """The assertions of a policy file. Raises PolicyError."""
    return _Reader(source).policy(data)


class _Reader:
    """Reads YAML nodes, whose marks know their lines; ``path`` is the field in dotted form."""

    def __init__(self, source: str) -> None:
        self._source = source

    def policy(self, data: bytes) -> list[Assertion]:
        root = self._composed(data)
        fields = self._fields(root, "", ("apiVersion", "kind", "assertions"))
        for name, wanted in (("apiVersion", _API_VERSION), ("kind", _KIND)):
            if name not in fields:
                raise self._error(root, name, f"is missing: it is {wanted}")
            if self._text(fields[name], name) != wanted:
                raise self._error(fields[name], name, f"is not {wanted}")
        if "assertions" not in fields:
            raise self._error(root, "assertions", "is missing")
        items = self._items(fields["assertions"], "assertions")
        if not items:
            raise self._error(fields["assertions"], "assertions", "is empty: nothing would be checked")
        return [self._assertion(item, f"assertions[{number}]") for number, item in enumerate(items)]

    def _composed(self, data: bytes) -> yaml.Node:
        if len(data) > _LARGEST:
            raise PolicyError(f"{self._source}: larger than {_LARGEST >> 10} KiB: that is not a policy file")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise PolicyError(f"{self._source}: not UTF-8 text") from error
        try:
            self._bounded(text)
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            where = f"{self._source}:{mark.line + 1}" if mark else self._source
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
            raise PolicyError(f"{where}: {problem}") from error
        if root is None:
            raise PolicyError(f"{self._source}: is empty")
        return root

    def _bounded(self, text: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise PolicyError(f"{self._where(event)}: anchors and aliases are not read: write it out")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST:
                raise PolicyError(f"{self._where(event)}: nested too deeply")

    def _assertion(self, node: yaml.Node, path: str) -> Assertion:
        fields = self._fields(node, path, (*_CLAIMS, *_SCOPE))
        named = [name for name in fields if name in _CLAIMS]
        if len(named) != 1:
            what = f"has {' and '.join(named)}: an item has one" if named else "has no assertion"
            raise self._error(node, path, what, hint=f"one of {', '.join(_CLAIMS)}")
        claim = _CLAIMS[named[0]](self, fields[named[0]], f"{path}.{named[0]}")
        scope = Scope(
            services=self._several(fields, "services", path, read_pattern),
            ignore=self._several(fields, "ignore", path, read_pattern),
            vias=self._several(fields, "via", path, _one_of(_VIAS)),
            sources=self._several(fields, "from", path, _one_of(_SOURCES)),
            nodes=self._several(fields, "entry", path, str),
        )
        name = self._text(fields["name"], f"{path}.name") if "name" in fields else named[0]
        return Assertion(name=name, claim=claim, scope=scope, source=self._where(node))

    def no_traffic(self, node: yaml.Node, path: str) -> Claim:
        known = ("to", "includeDaemonsets", "allowTerminating", "established", "drainedTaints")
        fields = self._fields(node, path, known)
        if "to" not in fields:
            raise self._error(node, f"{path}.to", "is missing", hint="node/NAME, or drained")
        to: tuple[NoTrafficTo, ...] | None = None
        if not (isinstance(fields["to"], yaml.ScalarNode) and fields["to"].value == "drained"):
            to = self._several(fields, "to", path, read_aim, empty="node/NAME, or drained")
        taints = self._several(fields, "drainedTaints", path, str, empty="leave it out for the usual ones")
        if taints and to is not None:
            raise self._error(fields["drainedTaints"], f"{path}.drainedTaints", "needs to: drained")
        return NoTraffic(
            to=to,
            taints=taints,
            established=self._flag(fields, "established", path),
            include_daemonsets=self._flag(fields, "includeDaemonsets", path),
            allow_terminating=self._flag(fields, "allowTerminating", path),
        )

    def reachable(self, node: yaml.Node, path: str) -> Claim:
        fields = self._fields(node, path, ("endpoints",))
        if "endpoints" not in fields:
            return Reachable()
        text = self._scalar(fields["endpoints"], f"{path}.endpoints")
        if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
            raise self._error(fields["endpoints"], f"{path}.endpoints", f"is {text!r}: a number from 1 on")
        return Reachable(int(text))

    def balanced(self, node: yaml.Node, path: str) -> Claim:
        fields = self._fields(node, path, ("tolerance",))
        if "tolerance" not in fields:
            raise self._error(node, f"{path}.tolerance", "is missing", hint="such as 10%")
        text = self._scalar(fields["tolerance"], f"{path}.tolerance")
        if found := _PERCENT.fullmatch(text):
            return Balanced(Fraction(found[1]) / 100)
        if _NUMBER.fullmatch(text):
            return Balanced(Fraction(text))
        raise self._error(fields["tolerance"], f"{path}.tolerance", f"is {text!r}: such as 10% or 0.1")

    def bare(self, node: yaml.Node, path: str) -> None:
        self._fields(node, path, ())

    def _fields(self, node: yaml.Node, path: str, known: Sequence[str]) -> dict[str, yaml.Node]:
        """The fields of a mapping, each once and each known; none for a value left out."""
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, path, "is not a mapping of fields")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self._scalar(key, path)
            inner = f"{path}.{name}" if path else name
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
                raise self._error(key, inner, "is not known", hint=hint)
            if name in found:
                raise self._error(key, inner, "is there twice")
            found[name] = value
        return found

    def _items(self, node: yaml.Node, path: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, path, "is not a list")
        return list(node.value)

    def _several(
        self,
        fields: Mapping[str, yaml.Node],
        name: str,
        path: str,
        read: Callable[[str], T],
        *,
        empty: str = "leave it out for all",
    ) -> tuple[T, ...]:
        """A list, or a single item, each read. An empty list is an error: it may be meant as none or all."""
        if name not in fields:
            return ()
        node, found = fields[name], []
        if isinstance(node, yaml.ScalarNode):
            listed: list[tuple[str, yaml.Node]] = [(f"{path}.{name}", node)]
        else:
            items = self._items(node, f"{path}.{name}")
            listed = [(f"{path}.{name}[{number}]", item) for number, item in enumerate(items)]
        if not listed:
            raise self._error(node, f"{path}.{name}", "is empty", hint=empty)
        for inner, item in listed:
            text = self._text(item, inner)
            try:
                found.append(read(text))
            except CallError as error:
                raise self._error(item, inner, error.message, hint=error.hint) from error
        return tuple(found)

    def _flag(self, fields: Mapping[str, yaml.Node], name: str, path: str) -> bool:
        node = fields.get(name)
        if node is None:
            return False
        if not node.tag.endswith(":bool"):
            raise self._error(node, f"{path}.{name}", "is not true or false")
        return str(node.value).lower() in ("true", "yes", "on")

    def _text(self, node: yaml.Node, path: str) -> str:
        text = self._scalar(node, path)
        if not text.strip():
            raise self._error(node, path, "is empty")
        return text

    def _scalar(self, node: yaml.Node, path: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, path, "is not a single value")
        return str(node.value)

    def _where(self, node: yaml.Node | yaml.Event) -> str:
        mark = node.start_mark
        assert mark is not None  # the text was parsed
        return f"{self._source}:{mark.line + 1}"

    def _error(self, node: yaml.Node, path: str, what: str, *, hint: str | None = None) -> PolicyError:
        field = f" {path}" if path else ""
        return PolicyError(f"{self._where(node)}:{field} {what}", hint=hint)


def _one_of(names: Mapping[str, T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        if text not in names:
            raise CallError(f"is {text!r}: one of {', '.join(names)}")
        return names[text]

    return read


def _in_sync(reader: _Reader, node: yaml.Node, path: str) -> Claim:
    reader.bare(node, path)
    return InSync()


def _local_only(reader: _Reader, node: yaml.Node, path: str) -> Claim:
    reader.bare(node, path)
    return LocalOnly()


_CLAIMS: Final[dict[str, Callable[[Any, yaml.Node, str], Claim]]] = {
    "no-traffic": _Reader.no_traffic,
    "reachable": _Reader.reachable,
    "balanced": _Reader.balanced,
    "in-sync": _in_sync,
    "local-only": _local_only,
}
