"""What is seen of a run: progress and account."""

from taskexec.observability.progress import RunView

__all__ = ["RunView"]
