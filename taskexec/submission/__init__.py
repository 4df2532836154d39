"""Bringing a run into the cluster and its evidence home."""

from taskexec.submission.admission import KnownWorker, admit
from taskexec.submission.collect import Collector
from taskexec.submission.submit import SubmittedRun, new_run_id, submit

__all__ = ["Collector", "KnownWorker", "SubmittedRun", "admit", "new_run_id", "submit"]
