"""Bringing a run into the cluster and its evidence home."""

from taskexec.submission.admission import KnownWorker, admit
from taskexec.submission.collect import Collector
from taskexec.submission.journal import Journal
from taskexec.submission.reuse import Decision, FormerRun, Takeover, Verdict, newest_run_of
from taskexec.submission.submit import Submission, new_run_id
from taskexec.submission.submitter import Submitter

__all__ = [
    "Collector",
    "Decision",
    "FormerRun",
    "Journal",
    "KnownWorker",
    "Submission",
    "Submitter",
    "Takeover",
    "Verdict",
    "admit",
    "new_run_id",
    "newest_run_of",
]
