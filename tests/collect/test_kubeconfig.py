from __future__ import annotations

import base64
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinspect.collect import kubeconfig
from kinspect.collect.api_lists import connect
from kinspect.errors import ApiError, CallError, KinspectError
from tests.collect.replay import TOKEN, ReplayServer, write_kubeconfig

STORY = Path(__file__).parents[1] / "data" / "story-1-both-nodes"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test reads the kubeconfig, the pod or the proxy of whoever runs it."""
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for name in (
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
        "HTTPS_PROXY",
        "https_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReplayServer]:
    with ReplayServer(STORY, tmp_path) as server:
        yield server


def config(path: Path, *contexts: str, current: str | None = None, namespace: str | None = None) -> Path:
    document = {
        "contexts": [
            {"name": name, "context": {"cluster": path.name, "user": "u", "namespace": namespace}}
            for name in contexts
        ],
        "clusters": [{"name": path.name, "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
    } | ({} if current is None else {"current-context": current})
    path.write_text(yaml.safe_dump(document))
    return path


def failure(kubeconfig_file: Path | None = None, context: str | None = None) -> KinspectError:
    """The error of listing with a kubeconfig: of ours, in one line, and without the token."""
    with pytest.raises(KinspectError) as caught:
        connect(None if kubeconfig_file is None else str(kubeconfig_file), context).list("services")
    for text in (caught.value.message, caught.value.hint or ""):
        assert TOKEN not in text
        assert text.isprintable(), ascii(text)
    return caught.value


# Which one


def test_the_option_comes_before_the_variable_and_that_before_the_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(home / ".kube" / "config", "of-home", current="of-home")
    assert kubeconfig.find().context == "of-home"
    monkeypatch.setenv("KUBECONFIG", str(config(tmp_path / "b", "of-variable", current="of-variable")))
    assert kubeconfig.find().context == "of-variable"
    option = config(tmp_path / "c", "of-option", current="of-option")
    assert kubeconfig.find(str(option)).context == "of-option"
    monkeypatch.setenv("KUBECONFIG", "")
    assert kubeconfig.find("").context == "of-home"


def test_of_the_listed_files_the_first_to_name_a_thing_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = config(tmp_path / "one", "both", namespace="first", current="")
    two = config(tmp_path / "two", "both", "second", namespace="second", current="second")
    three = config(tmp_path / "three", "third", current="third")
    files = ["", "/dev/null", str(tmp_path / "missing"), str(one), str(two), str(three)]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(files))
    assert (kubeconfig.find().context, kubeconfig.find().namespace) == ("second", "second")
    assert kubeconfig.find(context="both").namespace == "first"
    assert kubeconfig.find(context="third").namespace == "default"


def test_the_variable_is_read_at_each_call(server: ReplayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"/dev/null{os.pathsep}{server.kubeconfig}")
    with connect() as api:
        assert (api.namespace, api.context) == ("shop", "replay")
        assert api.list("services")
    with connect(context="production") as api:
        assert (api.namespace, api.context) == ("default", "production")
        assert api.list("services")


def test_a_pod_uses_its_service_account(
    server: ReplayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(f"{TOKEN}\n")
    (account / "namespace").write_text("monitoring")
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", account)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(server.ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    with connect() as api:
        assert (api.namespace, api.context, api.where) == ("monitoring", None, "the pod's service account")
        assert api.list("services")
    assert isinstance(failure(context="replay"), CallError)
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "missing"))
    assert failure().message == (
        "the pod's service account cannot be used: Service certification file does not exist."
    )


# What is wrong with it


def test_without_any_kubeconfig_the_ways_without_a_cluster_are_named(home: Path) -> None:
    error = failure()
    assert isinstance(error, CallError)
    assert error.message == f"no kubeconfig: {home}/.kube/config is not there, or empty"
    for option in ("--kubeconfig", "--snapshot", "--rules", "--demo"):
        assert option in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no kubeconfig: FILE is empty"),
        ("a: b: c", "kubeconfig FILE:1 is not valid YAML: mapping values are not allowed here"),
        (f"\nusers: [{TOKEN}", "kubeconfig FILE:2 is not valid YAML: "),
        (f"x: *{TOKEN}", "kubeconfig FILE:1 is not valid YAML: found undefined alias"),
        (
            f"x: !{TOKEN} y",
            "kubeconfig FILE:1 is not valid YAML: could not determine a constructor for the tag",
        ),
        ("\x00", "kubeconfig FILE is not valid YAML: "),
        ("[" * 3000, "kubeconfig FILE"),
        (TOKEN, "FILE is not a kubeconfig: Expected `object"),
        ("contexts: 7", "FILE is not a kubeconfig: Expected `array"),
        ("contexts: [{name: 7}]", "FILE is not a kubeconfig: Expected `str`, got `int`"),
        ("users: [{user: {}}]", "FILE is not a kubeconfig: Object missing required field `name`"),
        ("kind: Config", "FILE sets no current context"),
        ("current-context: a", 'no context "a" in FILE'),
        ("{current-context: a, contexts: [{name: a}]}", 'means the cluster "", which has no server there'),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b}]}",
            'context "a" of FILE means the cluster "b", which has no server there',
        ),
        (
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: b, user: u}}],"
                " clusters: [{name: b, cluster: {server: https://x}}]}"
            ),
            'context "a" of FILE means the user "u", which is not there',
        ),
        (
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: b}}],"
                " clusters: [{name: b, cluster: {server: x}}]}"
            ),
            'the server "x" is not an address (https://HOST:PORT)',
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    error = failure(path)
    assert isinstance(error, CallError)
    assert said.replace("FILE", str(path)) in error.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert (
        failure(tmp_path / "no").message == f"cannot read kubeconfig {tmp_path}/no: No such file or directory"
    )
    assert failure(tmp_path).message == f"cannot read kubeconfig {tmp_path}: Is a directory"


def test_no_such_context_lists_those_there_are_near_names_first(tmp_path: Path) -> None:
    path = config(tmp_path / "config", "zoo", "production", "staging\x1b[2J", current="zoo")
    error = failure(path, "prodution")
    assert isinstance(error, CallError)
    assert error.message == f'no context "prodution" in {path}'
    assert error.hint == r"did you mean production? there are: production, zoo, staging\x1b[2J"
    many = config(tmp_path / "many", *(f"c{n}" for n in range(12)))
    assert (failure(many).hint or "").endswith("c9 and 2 more")


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"client-certificate": "/missing.pem"}, "File does not exist: /missing.pem"),
        ({"tokenFile": "/missing"}, "/missing: No such file or directory"),
        ({"client-certificate-data": "!", "client-key-data": "!"}, "TLS with the API at"),
        ({"auth-provider": {"name": "gcp", "config": {"x": TOKEN}}}, "cannot read its credentials"),
        ({"auth-provider": {"name": "oidc", "config": {"x": TOKEN}}}, 'the key "id-token" is missing'),
        ({"token": f"{TOKEN}\nX-Injected: yes"}, "cannot be sent"),
        ({"token": "späß\u2603"}, "cannot be sent"),
    ],
)
def test_credentials_that_cannot_be_used_are_said_without_them(
    server: ReplayServer, tmp_path: Path, user: dict[str, Any], said: str
) -> None:
    assert said in failure(write_kubeconfig(tmp_path / "other", server, user=user)).message
    assert server.requests == []


def test_a_token_file_may_end_in_a_line_break(server: ReplayServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    path = write_kubeconfig(tmp_path / "other", server, user={"tokenFile": "token"})
    with connect(str(path)) as api:
        assert api.list("services")


@pytest.mark.parametrize("inline", [False, True], ids=["files", "data"])
def test_a_client_certificate_will_do(server: ReplayServer, tmp_path: Path, inline: bool) -> None:
    pem = tmp_path / "client.pem"
    user = {"client-certificate": str(pem), "client-key": str(pem)}
    if inline:
        data = base64.b64encode(pem.read_bytes()).decode()
        user = {"client-certificate-data": data, "client-key-data": data}
    with connect(str(write_kubeconfig(tmp_path / "other", server, user=user))) as api:
        assert api.list("services")
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({}, {"client-certificate-data": "eA==", "client-key-data": "eA=="}, ": pem lib"),
        (
            {"certificate-authority": None, "certificate-authority-data": "eA=="},
            {},
            ": no certificate",
        ),
    ],
    ids=["client", "authority"],
)
def test_a_certificate_that_is_none_is_one_line(
    server: ReplayServer, tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    error = failure(write_kubeconfig(tmp_path / "other", server, cluster=cluster, user=user))
    assert isinstance(error, ApiError)
    assert error.message.startswith(f"TLS with the API at 127.0.0.1:{server.port} failed{said}")


# Credential plugins


def plugin(folder: Path, script: str) -> dict[str, Any]:
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "command": str(path),
            "apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "Never",
            "installHint": "install it from \x1b[31mhere",
        }
    }


def credential(status: str) -> str:
    head = '"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"'
    return f"echo '{{{head},\"status\":{status}}}'"


def test_a_plugin_brings_the_token(server: ReplayServer, tmp_path: Path) -> None:
    user = plugin(tmp_path, credential(f'{{"token":"{TOKEN}"}}'))
    with connect(str(write_kubeconfig(tmp_path / "other", server, user=user))) as api:
        assert api.list("services")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'not logged in' >&2; exit 7", "process returned 7. not logged in"),
        ("printf 'a\\033[2J\\nb' >&2; exit 1", r"process returned 1. a\x1b[2J\nb"),
        ("echo hello", "failed to decode process output"),
        (credential("{}"), "missing token or clientCertificateData field in plugin output"),
        (credential('{"clientCertificateData":"x"}'), "missing clientKeyData field in plugin output"),
        (credential(f'{{"token":"{TOKEN}","expirationTimestamp":"soon"}}'), "failed: "),
    ],
)
def test_a_plugin_that_fails_is_said_with_its_reason(
    server: ReplayServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], script: str, said: str
) -> None:
    error = failure(write_kubeconfig(tmp_path / "other", server, user=plugin(tmp_path, script)))
    assert isinstance(error, ApiError)
    assert error.message.startswith(f'the credential plugin "{tmp_path}/plugin" of context "replay" of ')
    assert said in error.message
    assert error.hint == r"install it from \x1b[31mhere"
    assert server.requests == []
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_is_not_there_is_said(server: ReplayServer, tmp_path: Path) -> None:
    user = {"exec": {"command": "no-such-plugin", "apiVersion": "client.authentication.k8s.io/v1"}}
    error = failure(write_kubeconfig(tmp_path / "other", server, user=user))
    assert isinstance(error, ApiError)
    assert "failed: No such file or directory: 'no-such-plugin'" in error.message


def test_a_plugin_that_fails_later_is_said_too(server: ReplayServer, tmp_path: Path) -> None:
    expired = credential(f'{{"token":"{TOKEN}","expirationTimestamp":"2020-01-01T00:00:00Z"}}')
    script = f'test -e "$0.used" && {{ echo gone >&2; exit 1; }}; touch "$0.used"; {expired}'
    error = failure(write_kubeconfig(tmp_path / "other", server, user=plugin(tmp_path, script)))
    assert isinstance(error, ApiError)
    assert "process returned 1. gone" in error.message


def test_log_settings_are_left_as_they_were(server: ReplayServer, tmp_path: Path) -> None:
    root = logging.getLogger()
    before = list(root.handlers), list(root.filters), root.level
    failure(write_kubeconfig(tmp_path / "other", server, user=plugin(tmp_path, "exit 1")))
    assert (list(root.handlers), list(root.filters), root.level) == before
