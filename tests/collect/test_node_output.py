"""The stream of remote.sh: whole, cut anywhere, damaged, or not one at all."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.collect.node_output import Section, node_files, read_bundle
from kinspect.errors import NodeError

NONCE = "0123456789abcdef"


def stream(sections: dict[str, bytes], *, packed: bool = False, before: bytes = b"") -> bytes:
    mark = f"@{NONCE} ".encode()
    body = b"".join(
        b"\n%sbegin %s\n%s\n%send %s 0\n" % (mark, name.encode(), content, mark, name.encode())
        for name, content in sections.items()
    )
    body += b"\n%sdone\n" % mark
    return before + mark + (b"gzip\n" + gzip.compress(body) if packed else b"plain\n" + body)


DUMP = {"id": b"root", "iptables-save.txt": b"*nat\nCOMMIT\n"}


@given(st.dictionaries(st.sampled_from(["a", "b.txt", "c"]), st.binary(max_size=99)), st.booleans())
def test_any_bytes_come_back_as_they_were(sections: dict[str, bytes], packed: bool) -> None:
    read = read_bundle(stream(sections, packed=packed, before=b"motd\n"), NONCE)
    assert {name: section.output for name, section in read.items()} == sections


@pytest.mark.parametrize("packed", [True, False])
def test_a_stream_cut_anywhere_is_an_error(packed: bool) -> None:
    whole = stream(DUMP, packed=packed)
    for end in range(len(whole) - 12):
        with pytest.raises(NodeError):
            read_bundle(whole[:end], NONCE)


def test_what_a_shell_said_instead_is_told_without_control_characters() -> None:
    with pytest.raises(NodeError) as caught:
        read_bundle(b"\x1b[2JThis account is currently not available.\n", NONCE)
    assert "This account is currently not available." in str(caught.value)
    assert str(caught.value).isprintable()


def test_another_runs_marks_are_not_ours() -> None:
    with pytest.raises(NodeError, match="did not run the script"):
        read_bundle(stream(DUMP), "f" * 32)


def test_a_kernel_without_ipv6_is_no_failure() -> None:
    read = {
        "iptables-save.txt": Section(b"*nat\nCOMMIT\n", 0),
        "ip6tables-save.txt": Section(
            b"", 3, "can't initialize ip6tables table: Address family not supported by protocol"
        ),
    }
    assert set(node_files(read)) == {"iptables-save.txt"}


@pytest.mark.parametrize(
    "dump",
    [
        b"",
        b"# Warning: iptables-legacy tables present\n",
        b"*nat\nCOMMIT",
        b"*nat\n:A - [0:0]\nCOMMIT\n# Completed on Mon\n",
        b"# Generated\n*nat\nCOMMIT\n*filter\nCOMMIT\n\n# Completed\n\n",
    ],
)
def test_a_whole_dump_or_an_empty_one_is_taken(dump: bytes) -> None:
    assert node_files({"iptables-save.txt": Section(dump, 0)}) == {"iptables-save.txt": dump}


@pytest.mark.parametrize(
    "dump",
    [
        b"*nat\n",
        b"*nat\n-A X -m comment --comment COMMIT\n",
        b"*nat\nCOMMIT\n*filter\n:X - [0:0]\n# C",
        b"*nat\nCOMMIT\n-A X",
        b"usage: iptables-save\n",
        b"\x7fELF",
    ],
)
def test_less_than_a_whole_dump_is_refused(dump: bytes) -> None:
    with pytest.raises(NodeError, match=r"cut short|not a dump"):
        node_files({"iptables-save.txt": Section(dump, 0)})


def test_the_plain_name_is_for_the_one_back_end_that_holds_rules() -> None:
    read = read_bundle(
        stream({"iptables-legacy-save.txt": b"", "iptables-nft-save.txt": b"*nat\nCOMMIT\n"}), NONCE
    )
    assert node_files(read) == {"iptables-save.txt": b"*nat\nCOMMIT\n"}
    read = read_bundle(stream({"iptables-legacy-save.txt": b"", "iptables-nft-save.txt": b""}), NONCE)
    assert node_files(read) == {"iptables-save.txt": b""}
