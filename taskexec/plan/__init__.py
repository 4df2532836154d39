"""The plan: draft, validation, graph, estimates; an immutable, digested graph of tasks."""

from taskexec.plan.bulk import collection_paused
from taskexec.plan.digest import digest_of_tasks
from taskexec.plan.draft import DraftAlternative, DraftTask, Instant, Located, PlanDraft, Reading
from taskexec.plan.drawing import draw_svg
from taskexec.plan.estimate import Estimate, Estimates, Summary, summarize
from taskexec.plan.folders import evidence_folder
from taskexec.plan.graph import Graph, LongestPath
from taskexec.plan.plan import Plan, normal_id, plan_to_json, queue_name, task_to_json
from taskexec.plan.series_parallel import is_series_parallel
from taskexec.plan.shown import plan_shown, warnings_shown
from taskexec.plan.validation import build_plan

__all__ = [
    "DraftAlternative",
    "DraftTask",
    "Estimate",
    "Estimates",
    "Graph",
    "Instant",
    "Located",
    "LongestPath",
    "Plan",
    "PlanDraft",
    "Reading",
    "Summary",
    "build_plan",
    "collection_paused",
    "digest_of_tasks",
    "draw_svg",
    "evidence_folder",
    "is_series_parallel",
    "normal_id",
    "plan_shown",
    "plan_to_json",
    "queue_name",
    "summarize",
    "task_to_json",
    "warnings_shown",
]
