"""Every error that kinspect raises on purpose, and the exit code that each ends in.

    KinspectError
    ├── CallError                 2  the call is wrong, or names what is not there
    │   ├── NotFound              2  no such service, node, pod, chain
    │   ├── SnapshotError         2  a file or an archive cannot be read as a snapshot
    │   ├── RulesError            2  text that is not, or is no longer, a dump of rules
    │   ├── PolicyError           2  a policy file that is no policy: file, line, field
    │   └── PacketError           2  a packet expression or capture that cannot be read
    └── Undetermined              3  the question is fine, the answer could not be had
        ├── ApiError              3  the Kubernetes API did not answer, or not to us
        │   └── NotAllowed        3  it answered that we may not read that
        └── NodeError             3  a node did not answer, or not with what was asked for

Each error is one line that says what is wrong and where, and perhaps a hint: what to do.
An error of a library never leaves the module that calls the library: it is chained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Literal


class ExitCode(IntEnum):
    """What the process ends with; a promise to scripts (README, "Exit codes")."""

    OK = 0  # answered, and what was asserted holds
    VIOLATED = 1  # an assertion does not hold
    CALL = 2  # the call is wrong: usage, no such service, unreadable file
    UNDETERMINED = 3  # it could not be determined


Status = Literal["answered", "violated", "undetermined", "interrupted"]
"""What came of a question; every answer has one."""

EXIT_CODES: Final[Mapping[Status, int]] = {
    "answered": ExitCode.OK,
    "violated": ExitCode.VIOLATED,
    "undetermined": ExitCode.UNDETERMINED,
    "interrupted": 130,  # as a shell says for SIGINT
}


class KinspectError(Exception):
    """Base of all errors of kinspect: a message in one line, and perhaps a hint."""

    exit_code = ExitCode.CALL

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # What is raised in another process is raised here as it was, whatever it was made from.
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(
    kind: type[KinspectError], args: tuple[object, ...], state: dict[str, object]
) -> KinspectError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class CallError(KinspectError):
    """The call is wrong."""


class NotFound(CallError):
    """What was named does not exist in the cluster or the snapshot."""


class SnapshotError(CallError):
    """A file or archive that cannot be read as a snapshot."""


class PolicyError(CallError):
    """A policy file that cannot be read as one; names the file, the line and the field."""


class PacketError(CallError):
    """A packet expression, or a capture file, that cannot be read."""


class RulesError(CallError):
    """Text that is not a dump of rules; names the file, the line, and shows the word.

    ``column`` and ``width`` (characters, from 0) put the caret under the word meant.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str,
        line: int | None = None,
        text: str | None = None,
        column: int | None = None,
        width: int = 1,
        hint: str | None = None,
    ) -> None:
        where = source if line is None else f"{source}:{line}"
        super().__init__(f"{where}: {message}", hint=hint)
        self.source = source
        self.line = line
        self.text = text
        self.column = column
        self.width = width

    def excerpt(self) -> str | None:
        """The rule with a caret under the word meant; None where there is no text to show."""
        if self.text is None:
            return None
        shown = f"    {self.text}"
        if self.column is None:
            return shown
        return f"{shown}\n    {' ' * self.column}^{'~' * (self.width - 1)}"


class Undetermined(KinspectError):
    """The question is fine, but its answer could not be had."""

    exit_code = ExitCode.UNDETERMINED


class ApiError(Undetermined):
    """The Kubernetes API did not answer, or refused to."""


class NotAllowed(ApiError):
    """The Kubernetes API does not let this user read something; the message names the permission."""


class NodeError(Undetermined):
    """A node could not be read; the reason is the message."""
