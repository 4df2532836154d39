"""Why a task waits, runs or has ended as it has: facts in, a tree of causes out."""

from taskexec.observability.why.cause import Cause
from taskexec.observability.why.explain import Present, explain
from taskexec.observability.why.facts import Cluster, Held, Node, Queue, RunNow, TaskNow
from taskexec.observability.why.story import Story

__all__ = ["Cause", "Cluster", "Held", "Node", "Present", "Queue", "RunNow", "Story", "TaskNow", "explain"]
