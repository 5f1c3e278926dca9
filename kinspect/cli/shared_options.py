"""Where facts come from, as options: the same for every command that reads a cluster."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, get_type_hints

from kinspect.cli import params
from kinspect.collect.options import ExecOptions
from kinspect.pipeline.gather.sources import Live, Source

_LAST: Final = ("output", "no_color")  # what stands last in a command's help


def facts_from(
    kubeconfig: params.Kubeconfig = None,
    context: params.Context = None,
    snapshot: params.SnapshotPath = None,
    demo: params.DemoFlag = False,
    rules: params.RulesPaths = [],  # noqa: B006 - typer reads it, nobody writes it
    exclude_node: params.ExcludeNode = [],  # noqa: B006
    transport: params.TransportOption = None,
    ssh_user: params.SshUser = None,
    ssh_port: params.SshPort = None,
    ssh_option: params.SshOption = [],  # noqa: B006
    ssh_target: params.SshTarget = "{internal_ip}",
    sudo: params.Sudo = None,
    exec_namespace: params.ExecNamespace = "kube-system",
    exec_selector: params.ExecSelector = "k8s-app=kube-proxy",
    exec_container: params.ExecContainer = None,
    timeout: params.Timeout = 30.0,
    parallel: params.Parallel = None,
) -> Source:
    """The source that the options name. Raises CallError."""
    ssh = params.read_ssh(ssh_user, ssh_port, ssh_option, ssh_target, sudo, timeout)
    pods = ExecOptions(exec_namespace, exec_selector, exec_container, timeout)
    live = Live(
        kubeconfig=kubeconfig,
        context=context,
        reach=params.read_reach(transport, ssh, pods),
        parallel=parallel,
        progress=params.progress(),
        exclude=frozenset(exclude_node),
    )
    return params.read_source(snapshot, demo, rules, live, live.exclude)


def sourced(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of ``facts_from`` in place of its parameter ``source``."""
    shared = _parameters(facts_from)
    own = _parameters(command)
    del own["source"]
    last = [own.pop(name) for name in _LAST if name in own]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own.values(), *shared.values(), *last)
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        source = facts_from(**{name: given.pop(name) for name in shared})
        command(source=source, **given)

    # What typer looks at.
    del run.__wrapped__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """With annotations that are read; a source's own type is for type checkers only."""
    hints = get_type_hints(function, localns={"Source": Any}, include_extras=True)
    found = inspect.signature(function).parameters
    return {name: each.replace(annotation=hints[name]) for name, each in found.items()}
