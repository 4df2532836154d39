"""Doing a run harm on purpose: faults on processes and wires of one's own, and what came of them."""

from taskexec.chaos.arena import Arena, with_tries
from taskexec.chaos.conductor import Conductor
from taskexec.chaos.faults import Direction, Fault, FaultKind
from taskexec.chaos.field import Field
from taskexec.chaos.following import carry_through
from taskexec.chaos.ground import Done, Ground
from taskexec.chaos.report import ChaosReport, make_report
from taskexec.chaos.schedule import make_schedule
from taskexec.chaos.traces import count_marks, proven_successes, read_ledger
from taskexec.chaos.wire import Wire

__all__ = [
    "Arena",
    "ChaosReport",
    "Conductor",
    "Direction",
    "Done",
    "Fault",
    "FaultKind",
    "Field",
    "Ground",
    "Wire",
    "carry_through",
    "count_marks",
    "make_report",
    "make_schedule",
    "proven_successes",
    "read_ledger",
    "with_tries",
]
