"""Redacts one capture: which file is redacted how."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from kinspect.errors import SnapshotError
from kinspect.snapshot import types as names
from kinspect.snapshot.manifest import Command, Manifest, NodeRecord, Redaction
from kinspect.snapshot.redact.addresses import Address, Permutation
from kinspect.snapshot.redact.aliases import Aliases
from kinspect.snapshot.redact.fields import API, HOST, Fields, Shape
from kinspect.snapshot.redact.texts import NotKept, RuleOptions, Texts
from kinspect.snapshot.types import Files, NodeName, Redacted, Snapshot

LINES: Final[Mapping[str, str]] = {
    names.SYSCTL: r"net\.[\w./:@-]+ ?= ?[\w \t-]*",
    names.VERSION: r"ip6?tables v[\d.]+(?: \(\w+\))?",
    names.PROXY_MODE: r"[a-z]{1,16}",
    names.NFT_TABLES: r"table \w+ (?:kube-proxy|kube-router|nat|filter|mangle|raw)",
}
"""The lines that are kept of texts whose other lines may hold anything."""
_LEFT_OUT: Final = "left out by --redact"


class Redactor:
    """Redacts one capture."""

    def __init__(self, key: bytes, options: RuleOptions) -> None:
        self._permutation = Permutation(key)
        self._aliases = Aliases(key)
        self._texts = Texts(self._permutation, self._aliases, options)
        self._fields = Fields(self._texts, self._aliases)
        self._left_out: dict[str, None] = {}
        self._unreadable: dict[str, str] = {}  # by node: why its files are not all there
        self._readers: Mapping[Redacted, Callable[[str], str]] = {
            "rules": self._texts.rules,
            "sets": self._texts.sets,
            "connections": self._texts.connections,
        }

    @classmethod
    def new(cls, options: RuleOptions) -> Redactor:
        """A redactor with a new random key."""
        return cls(secrets.token_bytes(32), options)

    def address(self, address: Address) -> Address:
        """The address in place of another."""
        return self._permutation.address(address)

    def name(self, kind: str, name: str) -> str:
        """The name in place of another: of a ``node``, ``namespace``, ``service``, ``pod``."""
        return self._aliases.of(kind, name)

    def redacted(self, snapshot: Snapshot, manifest: Manifest) -> tuple[Snapshot, Manifest]:
        """The snapshot and its manifest with nothing of the cluster's own. Raises SnapshotError."""
        nodes = {name: self._files(name, files) for name, files in snapshot.nodes.items()}
        api = {
            file: self._document(snapshot.api[file], f"api/{file}", API[file])
            for file in snapshot.api
            if file in API
        }
        nodes = {NodeName(self.name("node", name)): files for name, files in nodes.items()}
        made = self._manifest(manifest)
        failed = {NodeName(name): record.error for name, record in made.nodes.items() if record.error}
        return Snapshot("a redacted capture", api, nodes, failed, manifest=made), made

    def _files(self, node: str, files: Files) -> Files:
        made: dict[str, bytes] = {}
        for file in sorted(files):
            source = f"nodes/{node}/{file}"
            how = names.NODE_FILES[file].redacted if file in names.NODE_FILES else "left out"
            try:
                if how == "left out":
                    self._left_out[f"{file}: {_LEFT_OUT}"] = None
                elif how == "fields":
                    made[file] = self._document(files[file] or b"[]", source, HOST[file])
                else:
                    text = files[file].decode("utf-8", "surrogateescape")
                    kept = _lines(text, LINES[file]) if how == "lines" else self._readers[how](text)
                    made[file] = kept.encode("utf-8", "surrogateescape")
            except NotKept:
                # One line of another form may hold anything: nothing of the file is kept.
                self._unreadable[node] = f"{file} is not as the tool prints it: {_LEFT_OUT}"
        return made

    def _document(self, data: bytes, source: str, shape: Shape) -> bytes:
        try:
            value: Any = msgspec.json.decode(data)
            return msgspec.json.encode(self._fields.shaped(value, shape)) + b"\n"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotError(
                f"{source} cannot be redacted: {error}", hint="take the snapshot again"
            ) from error

    def _manifest(self, manifest: Manifest) -> Manifest:
        say = self._texts.message
        services = tuple(self._service(key) for key in manifest.services)
        return msgspec.structs.replace(
            manifest,
            source=None,
            services=services,
            namespace=self.name("namespace", manifest.namespace) if manifest.namespace else None,
            changed=tuple(self._service(key) for key in manifest.changed),
            api={
                kind: msgspec.structs.replace(
                    record, left_out=(), error=say(record.error) if record.error else None
                )
                for kind, record in manifest.api.items()
            },
            nodes={
                self.name("node", name): self._record(record, self._unreadable.get(name))
                for name, record in sorted(
                    manifest.nodes.items(), key=lambda node: self.name("node", node[0])
                )
            },
            redaction=Redaction(inexact=tuple(self._texts.inexact), left_out=tuple(self._left_out)),
        )

    def _service(self, key: str) -> str:
        space, _, name = key.partition("/")
        return f"{self.name('namespace', space)}/{self.name('service', name)}"

    def _record(self, record: NodeRecord, unreadable: str | None) -> NodeRecord:
        return msgspec.structs.replace(
            record,
            target=self._target(record.target),
            commands=tuple(
                Command(
                    file=command.file,
                    command=self._texts.message(command.command),
                    status=command.status,
                    stderr=_LEFT_OUT if command.stderr else "",
                )
                for command in record.commands
            ),
            versions={
                tool: _lines(text, r"[\w -]+ v[\d.]+(?: \(\w+\))?").strip()
                for tool, text in record.versions.items()
            },
            error=self._texts.message(record.error) if record.error else unreadable,
        )

    def _target(self, target: str | None) -> str | None:
        if target is None:
            return None
        try:
            return str(self.address(ip_address(target)))
        except ValueError:
            return self.name("node", target)


def _lines(text: str, pattern: str) -> str:
    """The lines that have a known form; others are left out."""
    return "".join(f"{line}\n" for line in text.splitlines() if re.fullmatch(pattern, line))
