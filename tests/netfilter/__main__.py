"""``python -m tests.netfilter``: the share of real nodes' rules that is decided, and what is not, and why."""

from __future__ import annotations

from kinspect.netfilter import registry, support
from kinspect.netfilter.support import Support
from tests.netfilter.test_support import MATCHES, TARGETS


def main() -> None:
    """Print both."""
    uses = [(support.match(name), count) for name, count in MATCHES.items()]
    uses += [(support.target(name), count) for name, count in TARGETS.items()]
    total = sum(count for _, count in uses)
    for standing in Support:
        share = sum(count for found, count in uses if found is standing) / total
        print(f"{standing.value:10} {share:8.3%} of {total} uses in dumps of real nodes")
    print("\nAlways a question, which the answer names (in brackets: uses counted):")
    reasons: dict[str, list[str]] = {}
    for option, names, counted in (("-m", registry.MATCHES, MATCHES), ("-j", registry.TARGETS, TARGETS)):
        for name in names:
            extension = registry.match(name) or registry.target(name)
            if extension is not None and (why := extension.always_open):
                reasons.setdefault(why, []).append(f"{option} {name} ({counted.get(name, 0)})")
    for why, found in reasons.items():
        print(f"  {why}: {', '.join(found)}")


if __name__ == "__main__":
    main()
