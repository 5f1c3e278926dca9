"""Makes the NodeShell for a set of options: one line per transport."""

from __future__ import annotations

from typing_extensions import assert_never

from kinspect.collect.api_lists import KubeApi
from kinspect.collect.exec import ExecShell
from kinspect.collect.options import ExecOptions, NodeOptions, SshOptions
from kinspect.collect.pod_exec import PodExec
from kinspect.collect.ports import CounterShell
from kinspect.collect.ssh import SshShell


def open_shell(options: NodeOptions, api: KubeApi) -> CounterShell:
    """The NodeShell for the options. Raises ApiError if it needs the API and cannot reach it."""
    match options:
        case SshOptions():
            return SshShell(options)
        case ExecOptions():
            return ExecShell(api, PodExec(api.wire), options)
    assert_never(options)
