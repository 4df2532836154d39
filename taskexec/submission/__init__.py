"""Bringing a run into the cluster and its evidence home."""

from taskexec.submission.admission import KnownWorker, admit, unmet
from taskexec.submission.collect import Collector
from taskexec.submission.journal import Here, Journal
from taskexec.submission.retrying import refusals_with_names, tasks_to_retry
from taskexec.submission.reuse import Decision, FormerRun, Takeover, Verdict, newest_run_of
from taskexec.submission.standing import FormerLife
from taskexec.submission.submit import Submission, new_run_id
from taskexec.submission.submitter import Submitter

__all__ = [
    "Collector",
    "Decision",
    "FormerLife",
    "FormerRun",
    "Here",
    "Journal",
    "KnownWorker",
    "Submission",
    "Submitter",
    "Takeover",
    "Verdict",
    "admit",
    "new_run_id",
    "newest_run_of",
    "refusals_with_names",
    "tasks_to_retry",
    "unmet",
]
