"""The routes that change something: submitting, steering, sessions and tokens."""

from taskexec.api.changes.plans import router as plans
from taskexec.api.changes.steering import router as steering
from taskexec.api.changes.tasks import router as tasks
from taskexec.api.changes.tokens import router as tokens

__all__ = ["CHANGING"]

CHANGING = (plans, tasks, steering, tokens)
"""Groups of routes, in the order of the specification."""
