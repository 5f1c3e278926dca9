"""A capture's file: plain tar, private, written as a whole or not at all."""

from __future__ import annotations

import resource
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from kinspect.errors import CallError, SnapshotError
from kinspect.snapshot.archive import replacing, write_archive
from kinspect.snapshot.manifest import Manifest, NodeRecord, decode, encode
from kinspect.snapshot.store import open_snapshot
from kinspect.snapshot.types import NodeName, Snapshot
from tests.needs import needs

SNAPSHOT = Snapshot(
    "a test",
    api={"services.json": b'{"items":[]}', "nodes.json": b"{}"},
    nodes={NodeName("n2"): {"b.txt": b"b", "a.txt": b"a"}, NodeName("n1"): {}},
)
MANIFEST = Manifest(
    kinspect="0",
    started="2026-11-23T07:06:17.000Z",
    nodes={"n1": NodeRecord(error="it is on fire"), "n2": NodeRecord(transport="ssh")},
)


def written(path: Path, manifest: Manifest = MANIFEST) -> Path:
    with replacing(path) as keep:
        keep(lambda file: write_archive(file, SNAPSHOT, manifest))
    return path


def test_members_stand_in_one_folder_in_order_and_are_private(tmp_path: Path) -> None:
    path = written(tmp_path / "c.tar.gz")
    with tarfile.open(path) as archive:
        top = "kinspect-20261123T070617Z"
        assert [m.name for m in archive] == [
            f"{top}/{name}"
            for name in (
                "manifest.json",
                "api/nodes.json",
                "api/services.json",
                "nodes/n2/a.txt",
                "nodes/n2/b.txt",
            )
        ]
        assert {(m.mode, m.uid, m.uname) for m in archive} == {(0o600, 0, "")}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "one").read_bytes() == written(tmp_path / "other").read_bytes()


def test_tar_alone_reads_it(tmp_path: Path) -> None:
    needs("tar")
    path = written(tmp_path / "c.tar.gz")
    subprocess.run(["tar", "xf", path.name], cwd=tmp_path, check=True)
    assert (tmp_path / "kinspect-20261123T070617Z/nodes/n2/a.txt").read_bytes() == b"a"


def test_it_comes_back_with_what_failed(tmp_path: Path) -> None:
    opened = open_snapshot(written(tmp_path / "c.tar.gz"))
    assert dict(opened.api) == dict(SNAPSHOT.api)
    assert {name: dict(files) for name, files in opened.nodes.items()} == {
        "n2": {"a.txt": b"a", "b.txt": b"b"}
    }
    assert dict(opened.failed) == {"n1": "it is on fire"}
    assert opened.manifest == MANIFEST


def test_an_unpacked_capture_is_one_too(tmp_path: Path) -> None:
    needs("tar")
    subprocess.run(["tar", "xf", str(written(tmp_path / "c.tar.gz"))], cwd=tmp_path, check=True)
    opened = open_snapshot(tmp_path / "kinspect-20261123T070617Z")
    assert (dict(opened.failed), opened.manifest) == ({"n1": "it is on fire"}, MANIFEST)


def test_an_error_leaves_the_old_file_and_no_part_of_the_new(tmp_path: Path) -> None:
    path = tmp_path / "c.tar.gz"
    path.write_bytes(b"old")

    def failing(error: type[BaseException]) -> None:
        def write(file: BinaryIO) -> None:
            file.write(b"new")
            raise error

        with replacing(path) as keep:
            keep(write)

    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            failing(error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file sizes: the kernel refuses the write behind it, as it does on a full disk."""
    path = tmp_path / "c.tar.gz"
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from kinspect.snapshot.archive import replacing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        f"with replacing(Path({str(path)!r})) as keep:\n"
        "    keep(lambda file: file.write(bytes(1 << 20)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1 << 16
    assert f"CallError: cannot write {path}: File too large (no part of it was left behind)" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_and_not_replaced() -> None:
    with pytest.raises(CallError, match="cannot write /dev/full: No space left on device"):
        written(Path("/dev/full"))
    written(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("there")
    written(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert open_snapshot(tmp_path / "there").manifest == MANIFEST


@pytest.mark.parametrize(
    ("path", "says"),
    [("nowhere/c.tar.gz", "No such file or directory"), (".", "it is a folder")],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(
    tmp_path: Path, path: str, says: str
) -> None:
    with pytest.raises(CallError, match=says), replacing(tmp_path / path):
        pytest.fail("the body must not run")


def test_manifests_of_later_formats_are_not_guessed_at() -> None:
    later = encode(msgspec.structs.replace(MANIFEST, format=2))
    with pytest.raises(
        SnapshotError, match=r"format 2, and this kinspect reads up to 1 \(a newer kinspect wrote it"
    ):
        decode(later, "c.tar.gz")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"kind": "Capture", "nodes": 3}', b"\xff", b'{"kind": 1}'])
def test_a_damaged_manifest_is_one_line(data: bytes) -> None:
    with pytest.raises(
        SnapshotError, match=r"c\.tar\.gz: manifest\.json is not what kinspect capture writes"
    ):
        decode(data, "c.tar.gz")


def test_a_manifest_of_something_else_is_passed_over() -> None:
    assert decode(b'{"name": "a web page", "nodes": 3}', "folder") is None


def test_an_error_of_the_network_is_no_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), replacing(tmp_path / "c.tar.gz"):
        raise ConnectionResetError
    assert list(tmp_path.iterdir()) == []
