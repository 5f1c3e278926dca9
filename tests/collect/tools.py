"""The tools of a node that is played: scripts in a folder, in place of the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAMES = ("iptables", "iptables-save", "iptables-legacy-save", "iptables-nft-save", "ip6tables-save", "ip6tables-legacy-save",
         "ip6tables-nft-save", "ipset", "ip", "nft", "conntrack", "curl", "wget")  # fmt: skip


@dataclass(frozen=True)
class Tools:
    """A folder of tools, to be a PATH."""

    folder: Path

    def tool(self, name: str, script: str) -> None:
        """A tool on the node, in place of the real one."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def remove(self, *names: str) -> None:
        """Tools that the node does not have."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def recorded(self, folder: Path) -> None:
        """Let the node's tools print what a recorded node's printed."""
        for name in NAMES:
            self.tool(name, "exit 1")
        for family in ("iptables", "ip6tables"):
            self.tool(f"{family}-nft-save", f"/bin/cat {folder}/{family}-save.txt")
            self.tool(f"{family}-legacy-save", "exit 0")
        self.tool("ipset", f"/bin/cat {folder}/ipset-save.txt")
        self.tool(
            "ip",
            f"""case "$*" in
            "-d -j addr show") /bin/cat {folder}/ip-addr.json ;;
            "-j route show table all") /bin/cat {folder}/ip-route.json ;;
            "-6 -j route show table all") /bin/cat {folder}/ip-6-route.json ;;
            "-j rule show") /bin/cat {folder}/ip-rule.json ;;
            *) exit 1 ;;
            esac""",
        )
