"""`POST /tasks`: one described task becomes a run of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from taskexec.api.access import Caller, Submitter
from taskexec.api.changes.plans import RunLinks, WarningModel, submitted
from taskexec.api.keys import IdempotencyKey, answer_once, request_digest
from taskexec.api.paths import link_to
from taskexec.api.problems import Problem
from taskexec.api.services import ServicesOf
from taskexec.api.submissions import Wishes, read_for
from taskexec.errors import Fault, PlanRejected
from taskexec.plan import Plan, normal_id
from taskexec.settings import Settings
from taskexec.sources import SentPlan

__all__ = ["TaskRequest", "router"]

_TITLE_SHOWN = 120
_SOURCE = "task.json"

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=50)]
Text = Annotated[str, Field(max_length=1_000)]


class Requirements(BaseModel):
    """What a task asks for, as the fields of a plan."""

    model_config = ConfigDict(extra="forbid")

    cpus: Amount | None = Field(default=None, description="Cores; 1 unless said.")
    memory: Size | None = Field(default=None, description="MiB, or as `4G`.")
    gpus: Amount | None = None
    gpu_memory: Size | None = Field(default=None, description="Of each GPU: MiB, or as `24G`.")
    disk: Size | None = Field(default=None, description="MiB, or as `10G`.")
    labels: list[Text] = Field(default=[], max_length=100, description="Labels that its worker has.")
    not_labels: list[Text] = Field(default=[], max_length=100, description="Labels that its worker has not.")
    exclusive: bool = Field(default=False, description="Whether it has its worker for itself.")
    nodes: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Ranks, on so many workers.")
    route: Literal["cpu", "gpu", "distributed"] | None = None

    def fields(self) -> dict[str, Any]:
        """Return them as the fields of a task in a plan."""
        named = {"labels": "has", "not_labels": "not"}
        said = {named.get(name, name): value for name, value in self.model_dump(exclude_none=True).items()}
        return {name: value for name, value in said.items() if value not in ([], False)}


class TaskRequest(BaseModel):
    """One task."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "description": "Count the words of the report",
                "command": "wc -w report.txt",
                "priority": "high",
                "requirements": {"cpus": 1, "memory": "512M"},
            }
        },
    )

    description: str = Field(min_length=1, max_length=10_000, description="What is to be done, for people.")
    id: str = Field(default="task", min_length=1, max_length=200, description="Its id within its run.")
    command: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="A command line for the shell, or the words of a command."
    )
    agent: Text | None = Field(default=None, description="Who performs it; `shell` for a command.")
    payload: dict[str, Any] | None = Field(default=None, description="Instructions to the agent, as it wants them.")
    priority: int | Text | None = Field(default=None, description="0 to 9, `P0` to `P3`, or a word such as `high`.")
    execution_mode: Text = Field(
        default="auto", description="`auto`, or `dry-run`: the agent only says what it would do."
    )
    requirements: Requirements = Requirements()
    deadline: Text | None = Field(default=None, description="Instant in ISO 8601; what is not done by then fails.")
    timeout_s: Annotated[float, Field(gt=0, le=3_162_240_000)] | None = None
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    stakeholders: list[Text] = Field(default=[], max_length=100, description="Who wants to know what becomes of it.")
    tag: Annotated[str, Field(max_length=100)] | None = None
    wait_for_workers: bool = Field(default=False, description="Whether it is accepted if no worker could run it.")

    def plan_json(self) -> bytes:
        """Return the plan of this one task."""
        title = self.description.strip().partition("\n")[0].strip()
        metadata = {"stakeholders": ", ".join(self.stakeholders)} if self.stakeholders else {}
        if self.description.strip() != title or len(title) > _TITLE_SHOWN:
            metadata["description"] = self.description
        task: dict[str, Any] = {
            "id": self.id,
            "title": title if len(title) <= _TITLE_SHOWN else title[: _TITLE_SHOWN - 1] + "…",
            "command": self.command,
            "agent": self.agent,
            "payload": self.payload,
            "priority": self.priority,
            "deadline": self.deadline,
            "timeout": self.timeout_s,
            "retries": self.retries,
            "metadata": metadata,
        }
        said = {name: value for name, value in task.items() if value not in (None, {})}
        return orjson.dumps({"version": 2, "tasks": [said | self.requirements.fields()]})


class TaskLinks(RunLinks):
    """Where more is said of a task and of its run."""

    run: str


class TaskMade(BaseModel):
    """A task that was submitted."""

    id: str = Field(description="`run:task`, as other routes take it.")
    run_id: str
    task: str = Field(description="Its id within the run.")
    warnings: list[WarningModel]
    links: TaskLinks


router = APIRouter(prefix="/api/v1", tags=["tasks"])


@router.post("/tasks", summary="Submit one task", status_code=201, response_model=TaskMade)
async def make_task(
    request: Request, body: TaskRequest, caller: Submitter, services: ServicesOf, key: IdempotencyKey = None
) -> Response:
    """Submit one described task, as a run of its own."""
    _check(body)
    digest = request_digest("tasks", body.model_dump())
    wishes = Wishes(dry_run=_mode(body) == "dry-run", tag=body.tag, wait_for_workers=body.wait_for_workers)

    async def make(submission_key: str | None) -> dict[str, Any]:
        made = await submitted(
            services, caller, (lambda: _read(caller, body, services.settings), wishes, submission_key)
        )
        return _made(made, body.id)

    return await answer_once(request, caller, key, digest, make)


def _mode(body: TaskRequest) -> str:
    return body.execution_mode.strip().lower().replace("_", "-")


def _check(body: TaskRequest) -> None:
    """Refuse what no plan could say."""
    if _mode(body) not in ("auto", "dry-run"):
        raise Problem(
            422,
            "task.execution_mode",
            f"the execution mode `{body.execution_mode}` is not there yet",
            hint="`auto` performs the task, `dry-run` has its agent say what it would do",
            faults=[_fault("task.execution_mode", "expected `auto` or `dry-run`", "body.execution_mode")],
        )
    if body.command is None and body.agent is None:
        detail = "the task says neither a `command` nor an `agent`"
        hint = 'write `"command": "make"`, or `"agent": "noop"` for a task that does nothing'
        raise Problem(422, "task.instructions", detail, hint=hint)


def _fault(code: str, message: str, field: str) -> dict[str, Any]:
    return {"code": code, "message": message, "places": [], "hint": None, "field": field}


def _read(caller: Caller, body: TaskRequest, settings: Settings) -> Plan:
    try:
        plan = read_for(caller, SentPlan(body.plan_json(), _SOURCE), settings, kind="plan")
    except PlanRejected as error:  # places would be those in a file that its sender never saw
        raise PlanRejected([Fault(fault.code, fault.message, (), fault.hint) for fault in error.faults()]) from error
    return plan


def _made(made: dict[str, Any], task: str) -> dict[str, Any]:
    name = normal_id(task)
    return {
        "id": f"{made['run_id']}:{name}",
        "run_id": made["run_id"],
        "task": name,
        "warnings": [warning | {"places": []} for warning in made["warnings"]],
        "links": {
            **made["links"],
            "self": link_to("runs", made["run_id"], "tasks", name),
            "run": made["links"]["self"],
        },
    }
