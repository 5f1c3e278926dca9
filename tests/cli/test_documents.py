"""JSON documents as scripts get them: cheap to make, and each says what is not known."""

from __future__ import annotations

import subprocess
import sys

from tests.clusters import DATA

STORY = str(DATA / "story-6-node1-stale")


def test_json_needs_nothing_of_tables() -> None:
    code = (
        "import sys; from kinspect.cli import main;"
        f"sys.argv = ['kinspect', 'trace', 'svc/test-service', '--snapshot', {STORY!r}, '-o', 'json']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name in ('rich.table', 'yaml')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split("\n")[-2] == ""
