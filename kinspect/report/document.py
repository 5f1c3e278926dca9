"""What all JSON and YAML documents share, and how they are written.

Each answer has one document: a ``Document`` with its own fields, made by one function. Its fields are a
contract to which fields are only ever added; the JSON Schema of it (``kinspect schema KIND``) is made from
the types here, so that the two cannot part. Names are written in camelCase.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kinspect.errors import EXIT_CODES, Status
from kinspect.model.answer import Bounds
from kinspect.model.cause import RuleReference
from kinspect.model.cluster import EndpointOwner
from kinspect.model.diagnostics import Undetermined
from kinspect.report.numbers import exact_text, number

API_VERSION: Final = "kinspect/v1"

Share = Annotated[float, Meta(ge=0, le=1, description="A share of all packets, right to the last digit.")]
TwoShares = Annotated[
    list[Share],
    Meta(min_length=2, max_length=2, description="The least and the greatest; equal where it is known."),
]
Probability = Annotated[
    str,
    Meta(
        max_length=80,
        description="The exact share as a fraction, the least one where bounds differ; with exact: false the"
        " nearest fraction of 80 characters.",
    ),
]
NotExact = Annotated[
    Literal[False], Meta(description="Present where probability is rounded to 80 characters.")
]


class UndeterminedFact(msgspec.Struct, rename="camel", kw_only=True):
    """An unknown, which makes the exit code 3 unless something else is worse."""

    code: Annotated[str, Meta(description="One of those that kinspect explain lists.")]
    text: str
    node: Annotated[str | None, Meta(description="Where, if it is about one node.")] = None
    answered_by: Annotated[
        str | None, Meta(description="What would settle it: an option, a file, a command.")
    ] = None


class Document(msgspec.Struct, rename="camel", kw_only=True):
    """The head of every document."""

    api_version: Literal["kinspect/v1"] = API_VERSION
    kind: str
    exit_code: Annotated[int, Meta(description="As the process ends.")]
    undetermined: list[UndeterminedFact]
    warnings: list[str]


class ServiceName(msgspec.Struct, kw_only=True):
    """A service."""

    namespace: str
    name: str


class Endpoint(msgspec.Struct, kw_only=True):
    """The owner of an address, as far as the API knows."""

    namespace: str | None
    pod: str | None
    node: str | None
    listed: Annotated[bool, Meta(description="Whether the service lists it as an endpoint.")]
    terminating: bool


class RuleText(msgspec.Struct, kw_only=True):
    """A rule and its location."""

    source: str
    line: Annotated[int | None, Meta(description="null for the policy of a chain.")]
    table: str
    chain: str
    rule: str


def exit_code(status: Status) -> int:
    """The exit code."""
    return int(EXIT_CODES[status])


def opened(entries: Iterable[Undetermined]) -> list[UndeterminedFact]:
    """The unknowns, each once."""
    return [
        UndeterminedFact(code=entry.code, text=entry.text, node=entry.node, answered_by=entry.answered_by)
        for entry in dict.fromkeys(entries)
    ]


def endpoint(owner: EndpointOwner | None) -> Endpoint | None:
    """The owner of an address; None if it is not known."""
    if owner is None or not (owner.pod or owner.node):
        return None
    return Endpoint(
        namespace=owner.namespace,
        pod=owner.pod,
        node=owner.node,
        listed=owner.listed,
        terminating=owner.terminating,
    )


def rule_text(rule: RuleReference) -> RuleText:
    """A rule and its place."""
    return RuleText(source=rule.source, line=rule.line, table=rule.table, chain=rule.chain, rule=rule.text)


def shares(bounds: Bounds) -> tuple[str, Literal[False] | UnsetType, float, list[float]]:
    """A share in all its forms: probability, exact, share, bounds."""
    low, high = bounds
    text, exact = exact_text(low)
    least = number(low)
    return text, UNSET if exact else False, least, [least, least if low == high else number(high)]


def builtins(document: msgspec.Struct) -> Any:
    """The document as dictionaries and lists."""
    return msgspec.to_builtins(document, str_keys=True)


def to_json(document: msgspec.Struct) -> str:
    """JSON of two spaces, in ASCII. Bytes that are not UTF-8 become escapes."""
    plain = builtins(document)
    try:
        return msgspec.json.format(json.dumps(plain), indent=2)
    except msgspec.DecodeError:  # half a surrogate pair, which stands for such a byte
        return json.dumps(plain, indent=2)


def to_yaml(document: msgspec.Struct) -> str:
    """The same as YAML."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(builtins(document), Dumper=dumper, sort_keys=False, allow_unicode=False, width=1000)
    return str(text).rstrip("\n")


WRITERS: Final[Mapping[str, Callable[[msgspec.Struct], str]]] = {"json": to_json, "yaml": to_yaml}
"""The formats that write any document."""
