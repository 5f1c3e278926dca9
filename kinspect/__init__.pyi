# What the lazy names of __init__.py are, for type checkers.
from kinspect.api import ApiError as ApiError
from kinspect.api import Assertion as Assertion
from kinspect.api import AuditAnswer as AuditAnswer
from kinspect.api import AuditRequest as AuditRequest
from kinspect.api import Balanced as Balanced
from kinspect.api import CallError as CallError
from kinspect.api import CheckAnswer as CheckAnswer
from kinspect.api import CheckRequest as CheckRequest
from kinspect.api import Claim as Claim
from kinspect.api import Finding as Finding
from kinspect.api import InSync as InSync
from kinspect.api import KinspectError as KinspectError
from kinspect.api import LocalOnly as LocalOnly
from kinspect.api import NodeError as NodeError
from kinspect.api import NodeShare as NodeShare
from kinspect.api import NodeTrace as NodeTrace
from kinspect.api import NotFound as NotFound
from kinspect.api import NoTraffic as NoTraffic
from kinspect.api import Observation as Observation
from kinspect.api import Outcome as Outcome
from kinspect.api import Reachable as Reachable
from kinspect.api import RulesError as RulesError
from kinspect.api import Scope as Scope
from kinspect.api import ServicePattern as ServicePattern
from kinspect.api import Severity as Severity
from kinspect.api import SnapshotError as SnapshotError
from kinspect.api import Source as Source
from kinspect.api import ToAddress as ToAddress
from kinspect.api import ToNode as ToNode
from kinspect.api import ToPod as ToPod
from kinspect.api import TraceAnswer as TraceAnswer
from kinspect.api import TraceRequest as TraceRequest
from kinspect.api import Undetermined as Undetermined
from kinspect.api import audit as audit
from kinspect.api import check as check
from kinspect.api import demo as demo
from kinspect.api import document as document
from kinspect.api import formats_of as formats_of
from kinspect.api import kinds as kinds
from kinspect.api import live as live
from kinspect.api import load as load
from kinspect.api import render as render
from kinspect.api import schema as schema
from kinspect.api import trace as trace

__version__: str
__all__: list[str]
