"""``kinspect rules``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import talk, write
from kinspect.cli.params import Format
from kinspect.cli.shared_options import sourced
from kinspect.cli.whatif import read_config
from kinspect.errors import CallError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinspect.model.drift import NodeRules
    from kinspect.model.packet import Family
    from kinspect.pipeline.gather.sources import Source


@sourced
def rules(
    source: Source,
    nodes: Annotated[
        list[str],
        typer.Argument(
            metavar="[node/NAME]...", help="Nodes. [default: all]", autocompletion=complete.node_targets
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    expected: Annotated[
        bool, typer.Option("--expected", help="As kube-proxy would write them now, by the API.")
    ] = False,
    kube_proxy_config: params.KubeProxyConfig = None,
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: params.Output = Format.TABLE,
    no_color: params.NoColor = False,
) -> None:
    """Print kube-proxy's rules on nodes as iptables-save text.

    kinspect rules node/node1 --expected

    What others have written is left out.
    """
    from kinspect.pipeline.expected import ExpectedRequest, node_rules

    request = ExpectedRequest(
        nodes=read_nodes(nodes), families=read_families(only4, only6), config=read_config(kube_proxy_config)
    )
    found, diagnostics = node_rules(request, source, as_expected=expected)
    talk([*map(str, diagnostics.undetermined), *diagnostics.warnings])
    if output in (Format.JSON, Format.YAML):
        from kinspect.report.diff.document import rules_document
        from kinspect.report.trace.document import to_json, to_yaml

        document = rules_document(found, diagnostics, expected=expected)
        write((to_json if output is Format.JSON else to_yaml)(document))
    else:
        write(_text(found))
    raise typer.Exit(ExitCode.UNDETERMINED if diagnostics.undetermined else ExitCode.OK)


def _text(found: Sequence[NodeRules]) -> str:
    """All of them, each with a comment that iptables-restore passes over."""
    from kinspect.sanitise import safe

    parts = []
    for each in found:
        tool = "iptables-save" if each.family == 4 else "ip6tables-save"
        lines = "\n".join(safe(line) for line in each.text.splitlines())
        parts.append(f"# {tool} of {safe(each.node)}, kube-proxy's rules: {safe(each.source)}\n{lines}")
    return "\n".join(parts)


def read_nodes(words: Sequence[str]) -> list[str]:
    """``node/NAME`` or ``NAME``, of each. Raises CallError."""
    found = []
    for word in words:
        kind, slash, name = word.rpartition("/")
        if not name or (slash and kind not in ("node", "nodes", "no")):
            raise CallError(f"{word!r} is not a node", hint="node/NAME")
        found.append(name)
    return found


def read_families(only4: bool, only6: bool) -> tuple[Family, ...]:
    """What -4 and -6 narrow to."""
    return (4,) if only4 and not only6 else (6,) if only6 and not only4 else (4, 6)
