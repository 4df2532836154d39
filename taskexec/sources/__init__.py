"""Reading plans: each reader turns one kind of file into a `PlanDraft`."""

from taskexec.sources.config.hooks import apply_hooks
from taskexec.sources.planfile import read_planfile
from taskexec.sources.reading import ReadOptions, SentPlan, read_plan, read_sent_plan
from taskexec.sources.sot.reader import read_sot
from taskexec.sources.table.fields import parse_columns
from taskexec.sources.table.reader import read_csv
from taskexec.sources.writing import write_plan

__all__ = [
    "ReadOptions",
    "SentPlan",
    "apply_hooks",
    "parse_columns",
    "read_csv",
    "read_plan",
    "read_planfile",
    "read_sent_plan",
    "read_sot",
    "write_plan",
]
