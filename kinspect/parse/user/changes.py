"""The changes of ``kinspect whatif`` from what users type."""

from __future__ import annotations

import re
from typing import Any, Final

from kinspect.errors import CallError
from kinspect.model import changes as of
from kinspect.model.changes import Change, Key

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_LABEL: Final = re.compile(r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_STEP: Final = re.compile(r"([A-Za-z0-9_/-]+)((?:\[\d{1,4}\])*)")
_TOP: Final = ("spec", "metadata", "status")
_MOST_PODS: Final = 1000
_SERVICE: Final = ("svc/", "service/")
_KINDS: Final = {
    "svc": "service", "service": "service", "services": "service",
    "pod": "pod", "pods": "pod", "po": "pod", "node": "node", "nodes": "node", "no": "node",
}  # fmt: skip


def read_change(option: str, text: str, namespace: str, target: Key | None) -> list[Change]:
    """The changes of one option; ``target`` is the service that the call names.

    Raises CallError. Files of ``--apply`` are read by ``read_manifest``.
    """
    match option:
        case "set":
            return [_set(text, namespace, target)]
        case "relabel":
            return [_relabel(text, namespace)]
        case "cordon":
            return [of.Cordon(_node(option, text))]
        case "uncordon":
            return [of.Cordon(_node(option, text), on=False)]
        case "drain":
            return [of.Drain(_node(option, text))]
        case "without":
            return [of.Remove(_pod(option, text, namespace))]
        case "unready":
            return [of.Unready(_pod(option, text, namespace))]
        case "terminating":
            return [of.Terminate(_pod(option, text, namespace))]
        case "add":
            return [_add(text, namespace)]
        case "delete":
            return [_delete(text, namespace)]
    raise AssertionError(option)


def _bad(option: str, text: str, form: str) -> CallError:
    return CallError(f"cannot read --{option} {text!r}", hint=form)


def _set(text: str, namespace: str, target: Key | None) -> of.SetField:
    form = "FIELD=VALUE of the service asked about, or svc/NAME:FIELD=VALUE; VALUE is YAML"
    service, rest = target, text
    if text.startswith(_SERVICE):
        name, colon, rest = text.partition(":")
        if not colon:
            raise _bad("set", text, form)
        service = _key(name.partition("/")[2], namespace, "set", text, form)
    if service is None:
        raise CallError(
            f"--set {text!r} names no service", hint=f"kinspect whatif svc/NAME --set …, or {form}"
        )
    path, equals, value = rest.partition("=")
    if not equals:
        raise _bad("set", text, form)
    return of.SetField(service, _path(path, text, form), _yaml(value, text))


def _path(text: str, whole: str, form: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    for part in text.split("."):
        found = _STEP.fullmatch(part)
        if found is None:
            raise _bad("set", whole, form)
        steps += [found[1], *(int(number) for number in re.findall(r"\d+", found[2]))]
    return tuple(steps) if steps[0] in _TOP else ("spec", *steps)


def _yaml(text: str, whole: str) -> Any:
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).splitlines()[0]
        raise CallError(f"--set {whole!r}: the value is not YAML: {line}", hint="quote it") from error
    if not _is_json(value):
        raise CallError(f"--set {whole!r}: the API has no such value", hint='quote text: FIELD="2024-01-01"')
    return value


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float | bool)


def _relabel(text: str, namespace: str) -> of.Relabel:
    form = "pod/NAME:KEY=VALUE or node/NAME:KEY=VALUE; KEY- removes the label"
    what, colon, label = text.partition(":")
    kind = _KINDS.get(what.partition("/")[0])
    if not colon or kind not in ("pod", "node"):
        raise _bad("relabel", text, form)
    name = what.partition("/")[2]
    labels: dict[str, str | None] = {}
    for part in label.split(","):
        key, equals, value = part.partition("=")
        if not equals and key.endswith("-"):
            key, value = key[:-1], ""
        elif not equals:
            raise _bad("relabel", text, form)
        if not _LABEL.fullmatch(key) or (value and not _LABEL.fullmatch(value)) or "/" in value:
            raise _bad("relabel", text, form)
        labels[key] = value if equals else None
    if kind == "node":
        return of.Relabel("node", ("", _plain(name, "relabel", text, form)), labels)
    return of.Relabel("pod", _key(name, namespace, "relabel", text, form), labels)


def _node(option: str, text: str) -> str:
    kind, slash, name = text.partition("/")
    if slash and _KINDS.get(kind) != "node":
        raise _bad(option, text, "node/NAME")
    return _plain(name if slash else text, option, text, "node/NAME")


def _pod(option: str, text: str, namespace: str) -> Key:
    kind, slash, name = text.partition("/")
    form = "pod/NAME or pod/NAMESPACE/NAME"
    if not slash or _KINDS.get(kind) != "pod":
        raise _bad(option, text, form)
    return _key(name, namespace, option, text, form)


def _add(text: str, namespace: str) -> of.AddPods:
    form = "SERVICE@NODE or SERVICE@NODE=N, such as web@node1"
    name, at, place = text.partition("@")
    for prefix in _SERVICE:
        name = name.removeprefix(prefix)
    node, equals, number = place.partition("=")
    if not at or (equals and not re.fullmatch(r"[0-9]{1,6}", number)):
        raise _bad("add", text, form)
    count = int(number) if equals else 1
    if not 0 < count <= _MOST_PODS:
        raise CallError(f"--add {text!r}: 1 to {_MOST_PODS} pods can be added at once")
    key = _key(name, namespace, "add", text, form)
    return of.AddPods(key, _plain(node.removeprefix("node/"), "add", text, form), count)


def _delete(text: str, namespace: str) -> of.Delete:
    form = "svc/NAME, pod/NAME or node/NAME"
    word, slash, name = text.partition("/")
    kind = _KINDS.get(word)
    if not slash or kind is None:
        raise _bad("delete", text, form)
    if kind == "node":
        return of.Delete("node", ("", _plain(name, "delete", text, form)))
    return of.Delete("pod" if kind == "pod" else "service", _key(name, namespace, "delete", text, form))


def _key(text: str, namespace: str, option: str, whole: str, form: str) -> Key:
    space, slash, name = text.rpartition("/")
    if slash and not _NAME.fullmatch(space):
        raise _bad(option, whole, form)
    return (space if slash else namespace), _plain(name, option, whole, form)


def _plain(name: str, option: str, whole: str, form: str) -> str:
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise _bad(option, whole, form)
    return name


def read_manifest(data: bytes, source: str, namespace: str) -> list[Change]:
    """The objects of a YAML or JSON file for ``--apply``, lists taken apart. Raises CallError."""
    import yaml

    try:
        documents = list(yaml.safe_load_all(data.decode("utf-8")))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:200]
        raise CallError(
            f"{source}: not YAML: {line}", hint="give a manifest as kubectl apply takes it"
        ) from error
    found: list[Change] = []
    for document in documents:
        found += _applied(document, source, namespace) if document is not None else []
    if not found:
        raise CallError(f"{source}: it holds no object")
    return found


_APPLIED: Final = ("Service", "EndpointSlice", "Pod", "Node")


def _applied(document: object, source: str, namespace: str) -> list[Change]:
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        return [change for item in document["items"] for change in _applied(item, source, namespace)]
    if (
        not isinstance(document, dict)
        or not isinstance(document.get("metadata"), dict)
        or not _is_json(document)
    ):
        raise CallError(f"{source}: it holds something that is not an API object", hint="kind and metadata")
    kind, meta = document.get("kind"), document["metadata"]
    if kind not in _APPLIED:
        raise CallError(
            f"{source}: kinspect does not know what a {str(kind)[:60]!r} changes",
            hint=f"it knows {', '.join(_APPLIED)}",
        )
    name, space = meta.get("name"), meta.get("namespace", namespace)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(space, str):
        raise CallError(f"{source}: a {kind} has no valid metadata.name")
    if kind != "Node":
        document = {**document, "metadata": {**meta, "namespace": space}}
    return [of.Apply(document, source)]
