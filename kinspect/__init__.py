"""kinspect shows where a packet to a Kubernetes Service really goes, and with what probability.

The names in ``__all__`` are the Python API (docs/api.md); everything else is private. They are loaded
when they are first asked for: ``kinspect --version`` imports this module and nothing else.
"""

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "Assertion",
    "AuditAnswer",
    "AuditRequest",
    "Balanced",
    "CallError",
    "CheckAnswer",
    "CheckRequest",
    "Claim",
    "Finding",
    "InSync",
    "KinspectError",
    "LocalOnly",
    "NoTraffic",
    "NodeError",
    "NodeShare",
    "NodeTrace",
    "NotFound",
    "Observation",
    "Outcome",
    "Reachable",
    "RulesError",
    "Scope",
    "ServicePattern",
    "Severity",
    "SnapshotError",
    "Source",
    "ToAddress",
    "ToNode",
    "ToPod",
    "TraceAnswer",
    "TraceRequest",
    "Undetermined",
    "__version__",
    "audit",
    "check",
    "demo",
    "document",
    "formats_of",
    "kinds",
    "live",
    "load",
    "render",
    "schema",
    "trace",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """A name of the API, from ``kinspect.api``."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module("kinspect.api"), name)
    globals()[name] = value
    return value
