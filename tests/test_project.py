"""What stands around the package fits together: the lock, the image, the cluster's objects, the workflows, the changelog."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kinspect as package
from kinspect.errors import ExitCode
from tests.cli.run import kinspect

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
IN_CLUSTER = ROOT / "docs/in-cluster"
DOCKERFILE = (IN_CLUSTER / "Dockerfile").read_text()
WORKFLOWS = sorted((ROOT / ".github").glob("workflows/*.yml"))


def required() -> list[Requirement]:
    """The dependencies of pyproject.toml (Python 3.10 has no tomllib)."""
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", PYPROJECT, re.M | re.S)
    return [Requirement(text) for text in re.findall(r'^ +"([^"]+)"', block, re.M)]


def test_the_lock_is_within_the_bounds_of_pyproject() -> None:
    pinned: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", LOCK, re.M):
        pinned.setdefault(canonicalize_name(name), set()).add(version)
    assert len(required()) > 5
    for requirement in required():
        versions = pinned[canonicalize_name(requirement.name)]
        for version in versions:
            assert requirement.specifier.contains(version), f"{requirement} and {version}"


def test_every_pin_has_hashes_and_names_no_index() -> None:
    pins = re.findall(r"^[\w.-]+==[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.M)
    assert len(pins) == len(re.findall(r"^[\w.-]+==", LOCK, re.M)) > 20
    assert "://" not in LOCK
    assert not re.search(r"^ *(-i|--index|--extra-index|--find-links|-f|file:)", LOCK, re.M)


def test_the_image_is_installed_from_the_lock_and_from_what_is_there() -> None:
    assert "--require-hashes -r /src/requirements.lock" in DOCKERFILE
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, re.M)]
    for path in [path for paths in copied for path in paths]:
        assert (ROOT / path).exists(), path
    assert re.search(r"^USER (\d+)", DOCKERFILE, re.M)


def objects(name: str) -> dict[str, Any]:
    return {item["kind"]: item for item in yaml.safe_load_all((IN_CLUSTER / name).read_text())}


def test_the_objects_of_the_cluster_belong_together() -> None:
    rbac, job = objects("rbac.yaml"), objects("cronjob.yaml")
    pod = job["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    account = rbac["ServiceAccount"]["metadata"]
    assert pod["serviceAccountName"] == account["name"]
    assert (
        job["CronJob"]["metadata"]["namespace"]
        == account["namespace"]
        == rbac["Namespace"]["metadata"]["name"]
    )
    for binding in (rbac["ClusterRoleBinding"], rbac["RoleBinding"]):
        assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert rbac["ClusterRoleBinding"]["roleRef"]["name"] == rbac["ClusterRole"]["metadata"]["name"]
    assert rbac["RoleBinding"]["roleRef"]["name"] == rbac["Role"]["metadata"]["name"]
    assert f"--exec-namespace={rbac['Role']['metadata']['namespace']}" in container["args"]
    (volume,) = pod["volumes"]
    (mount,) = container["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["configMap"]["name"] == job["ConfigMap"]["metadata"]["name"]
    (file,) = job["ConfigMap"]["data"]
    assert f"--policy={mount['mountPath']}/{file}" in container["args"]
    assert f"-t {container['image']} " in DOCKERFILE
    assert container["securityContext"]["runAsUser"] == int(re.findall(r"^USER (\d+)", DOCKERFILE, re.M)[0])


def test_the_call_of_the_job_is_right(tmp_path: Path) -> None:
    job = objects("cronjob.yaml")
    (container,) = job["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    policy = tmp_path / "traffic.yaml"
    policy.write_text(job["ConfigMap"]["data"]["traffic.yaml"])
    words = [f"--policy={policy}" if word.startswith("--policy=") else word for word in container["args"]]
    ran = kinspect(*words, "--demo")
    assert ran.code == ExitCode.OK, ran.err
    assert ran.json["verdict"] == "holds"


def test_the_permissions_are_those_that_usage_names() -> None:
    usage = (ROOT / "docs/usage.md").read_text()
    (block,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", usage, re.S)
    named = {
        (group, item)
        for rule in yaml.safe_load(block)["rules"]
        for group in rule["apiGroups"]
        for item in rule["resources"]
    }
    given = {
        (group, item)
        for rule in objects("rbac.yaml")["ClusterRole"]["rules"]
        for group in rule["apiGroups"]
        for item in rule["resources"]
    }
    assert given <= named
    assert named - given == {("", "namespaces")}, "which only capture reads"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in WORKFLOWS])
def test_a_workflow_calls_scripts_that_are_there(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert lines
    assert all("timeout-minutes" in job for job in jobs.values())
    for word in [word for line in lines for word in shlex.split(line)]:
        if word.startswith(("tests/", ".ci/", "docs/")):
            assert (ROOT / word).exists(), word


def test_commits_are_held_to_what_tests_run_lints() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"].split()[0] for hook in repo["hooks"]}
    run = (ROOT / "tests/run").read_text()
    assert hooks == set(re.findall(r'"\$VENV/bin/(?!python)([\w-]+)"', run))


def test_issue_forms_are_yaml() -> None:
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(path.read_text())


def test_the_changelog_has_this_version_below_what_is_unreleased() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased"
    assert headings[1] == package.__version__
