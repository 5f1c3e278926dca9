"""Shell completion: the scripts shipped, and the names they offer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kinspect.cli.completion import SHELLS, script
from tests.clusters import DATA
from tests.needs import needs

COMPLETIONS = Path(__file__).parents[2] / "completions"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_shipped_are_those_generated(shell: str) -> None:
    shipped = COMPLETIONS / f"kinspect.{shell}"
    assert shipped.read_text() == script(shell), (
        "python -m kinspect.cli.completion completions writes them anew"
    )


def completed(words: str, *, shell: str = "bash") -> list[str]:
    """What the program answers to a shell that asks for the last word's completions."""
    env = {
        **os.environ,
        "_KINSPECT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "kinspect"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        cwd=COMPLETIONS.parent,
    )
    return [line.split("\t")[0] for line in done.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        pytest.param("kinspect tr", ["trace"], id="commands"),
        pytest.param("kinspect trace --demo svc/te", ["svc/test-service"], id="services of the namespace"),
        pytest.param("kinspect trace --demo default/", ["default/kubernetes", "default/test-service"], id="services of another"),
        pytest.param("kinspect trace --demo --node ", ["node1", "node2"], id="nodes"),
        pytest.param("kinspect trace --demo --entry node2", ["node2"], id="entry nodes"),
        pytest.param("kinspect trace --demo --from node/", ["node/node1", "node/node2"], id="senders"),
        pytest.param("kinspect trace --demo --from pod/", ["pod/default/test-server-1", "pod/default/test-server-2"], id="pods"),
        pytest.param("kinspect trace --demo -n kube-s", ["kube-system"], id="namespaces"),
        pytest.param(f"kinspect trace --snapshot {DATA / 'zoo-nft'} shop/st", ["shop/sticky"], id="of the snapshot named"),
        pytest.param("kinspect trace --snapshot /nowhere svc/", [], id="nothing, and no noise, where nothing can be read"),
        pytest.param("kinspect trace --via n", ["nodeport"], id="values of an option"),
    ],
)  # fmt: skip
def test_names_are_offered(words: str, offers: list[str]) -> None:
    assert sorted(completed(words)) == offers


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_takes_the_script(shell: str) -> None:
    needs(shell)
    path = COMPLETIONS / f"kinspect.{shell}"
    done = subprocess.run(
        [shutil.which(shell) or shell, "-n", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_for_real() -> None:
    needs("bash")
    ask = f"""
        kinspect() {{ PYTHONPATH={COMPLETIONS.parent} {sys.executable} -m kinspect "$@"; }}
        mkdir -p bin
        printf '#!/bin/sh\\nPYTHONPATH={COMPLETIONS.parent} exec {sys.executable} -m kinspect "$@"\\n' > bin/kinspect
        chmod +x bin/kinspect
        PATH=$PWD/bin:$PATH
        source {COMPLETIONS}/kinspect.bash
        COMP_WORDS=(kinspect trace --demo svc/te); COMP_CWORD=3
        _kinspect_completion kinspect
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    home = os.environ["HOME"]
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False, cwd=home)
    assert done.stdout.split() == ["svc/test-service"], done.stderr
