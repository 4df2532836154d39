"""`POST /plans` and `POST /runs`: a plan comes as the body, or as a file of a form, and is checked or made a run of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData, UploadFile

from taskexec.api.access import Caller, Submitter
from taskexec.api.keys import IdempotencyKey, answer_once, request_digest
from taskexec.api.problems import Problem
from taskexec.api.services import Services, ServicesOf
from taskexec.api.submissions import Wishes, read_for, submit_plan
from taskexec.plan import Plan, plan_shown
from taskexec.sources import SentPlan

__all__ = ["RunLinks", "RunMade", "WarningModel", "router"]

_KINDS: Mapping[str, tuple[str | None, str]] = {
    "text/csv": ("csv", ".csv"),
    "text/tab-separated-values": ("csv", ".tsv"),
    "text/markdown": ("sot", ".md"),
    "application/yaml": ("workflow", ".yaml"),
    "application/x-yaml": ("workflow", ".yaml"),
    "text/yaml": ("workflow", ".yaml"),
    "application/json": (None, ".json"),
    "text/plain": (None, ""),
    "application/octet-stream": (None, ""),
}
"""Content type -> kind of the plan (None: found by its content), and the suffix of its name."""
_FORM = "multipart/form-data"
_PARTS = frozenset({"plan", "hooks", "manifest"})
_NAME_BAD = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]")


class PlanQuery(BaseModel):
    """How a plan is read."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="File name, such as `nightly.csv`: decides the kind where the content type does not, and faults "
        "name it. No file of the server is read.",
    )


class RunQuery(PlanQuery):
    """How a plan is read and carried out."""

    dry_run: bool = Field(default=False, description="Whether agents only say what they would do.")
    fail_fast: bool | None = Field(default=None, description="Whether the first failed task cancels the rest.")
    tag: str | None = Field(default=None, max_length=100, description="What the run is counted under.")
    weight: float | None = Field(default=None, ge=0.01, le=100, description="Its share beside other runs.")
    timeout_s: float | None = Field(
        default=None, gt=0, le=3_162_240_000, description="Stop the run, as failed, after so many seconds."
    )
    wait_for_workers: bool = Field(default=False, description="Whether tasks that no worker could run are accepted.")

    def wishes(self) -> Wishes:
        """Return what is asked of the run."""
        return Wishes(**{name: getattr(self, name) for name in Wishes.__dataclass_fields__})


class WarningModel(BaseModel):
    """What was read, but may not be what was meant."""

    code: str
    message: str
    places: list[str] = Field(description="Each `file:line:column`.")
    hint: str | None


class PlanSummary(BaseModel):
    """The shape of a plan."""

    model_config = ConfigDict(extra="allow")

    tasks: int
    edges: int
    levels: int
    width: int
    critical_path_s: float | None
    series_parallel: bool


class PlanChecked(BaseModel):
    """A plan without faults, as `tek plan --output json` shows it."""

    summary: PlanSummary
    tasks: list[dict[str, Any]] = Field(description="As in `plan.json`, with `level`, `slack_s` and `critical`.")
    warnings: list[WarningModel]
    reading: dict[str, Any] = Field(description="How the source was understood.")
    digest: str = Field(description="`sha256:` and 64 hexadecimal digits over all that the tasks mean.")


class RunLinks(BaseModel):
    """Where more is said."""

    self: str
    page: str
    events: str


class RunMade(BaseModel):
    """A run that was submitted."""

    run_id: str
    status: Literal["running", "succeeded"]
    counts: dict[str, int] = Field(description="Tasks by status.")
    tasks: int
    warnings: list[WarningModel]
    links: RunLinks


_TABLE = {"schema": {"type": "string"}, "example": "id,command,depends_on\nbuild,make,\ntest,make test,build\n"}
_MARKDOWN = {"schema": {"type": "string"}, "example": "## Queue A — Build\n\n- [ ] **A1** Build\n"}
_WORKFLOW = {"schema": {"type": "string"}, "example": "tasks:\n  build:\n    command: make\n"}
_JSON = {"schema": {"type": "object"}, "example": {"tasks": [{"id": "build", "command": "make"}]}}
_FILES = {
    "schema": {
        "type": "object",
        "required": ["plan"],
        "additionalProperties": False,
        "properties": {name: {"type": "string", "format": "binary"} for name in sorted(_PARTS)},
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "The plan itself, or a form with the file `plan` and, if it has them, `hooks` and `manifest`. "
        "A plan that includes other files is refused.",
        "content": {
            **{name: _TABLE for name in _KINDS if name.startswith("text/") or name.endswith("octet-stream")},
            "text/markdown": _MARKDOWN,
            **{name: _WORKFLOW for name in _KINDS if name.endswith("yaml")},
            "application/json": _JSON,
            _FORM: _FILES,
        },
    }
}


router = APIRouter(prefix="/api/v1", tags=["runs"])


@router.post("/plans", summary="Check a plan", response_model=PlanChecked, openapi_extra=_BODY)
async def check_plan(
    request: Request, caller: Submitter, services: ServicesOf, query: Annotated[PlanQuery, Query()]
) -> Response:
    """Read and check a plan; nothing is submitted. All of its faults are listed in the problem."""
    sent, kind = await _sent(request, query.name)

    def check() -> dict[str, Any]:
        return plan_shown(read_for(caller, sent, services.settings, kind=kind))

    async with services.compiling:
        shown = await to_thread.run_sync(check)
    return _json(shown)


@router.post(
    "/runs",
    summary="Submit a plan",
    status_code=201,
    response_model=RunMade,
    openapi_extra=_BODY,
)
async def make_run(
    request: Request,
    caller: Submitter,
    services: ServicesOf,
    query: Annotated[RunQuery, Query()],
    key: IdempotencyKey = None,
) -> Response:
    """Check a plan and submit it to the cluster, in the name of the caller."""
    sent, kind = await _sent(request, query.name)
    digest = request_digest("runs", query.model_dump(), kind, sent.name, sent.data, sent.hooks, sent.manifest)

    def read() -> Plan:
        return read_for(caller, sent, services.settings, kind=kind)

    async def make(submission_key: str | None) -> dict[str, Any]:
        return await submitted(services, caller, (read, query.wishes(), submission_key))

    return await answer_once(request, caller, key, digest, make)


_Asked = tuple[Callable[[], Plan], Wishes, str | None]


async def submitted(services: Services, caller: Caller, what: _Asked) -> dict[str, Any]:
    """Read and submit a plan outside of the event loop.

    `what` is a function that reads the plan, how it is to be carried out, and the key of the submission.
    """
    read, wishes, key = what
    async with services.compiling:
        return await to_thread.run_sync(lambda: submit_plan(services, caller, read(), wishes, key))


async def _sent(request: Request, name: str | None) -> tuple[SentPlan, str | None]:
    """Return the plan of a request, and its kind where the content type says it.

    Raises:
        Problem: The body is of another type (415), or a form without a plan (422).
    """
    kind_of_body = request.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if kind_of_body == _FORM:
        async with request.form(max_files=len(_PARTS), max_fields=len(_PARTS)) as form:
            return await _of_form(form, name), None
    if kind_of_body not in _KINDS:
        known = ", ".join((*_KINDS, _FORM))
        raise Problem(415, "request.type", f"`{kind_of_body}` is no type of a plan", hint=f"send one of {known}")
    kind, suffix = _KINDS[kind_of_body]
    data = await request.body()
    if not data:
        raise Problem(422, "request.empty", "the body of the request is empty", hint="send the plan as the body")
    # a name says more than `text/plain` does, and JSON may be a workflow or a plan
    return SentPlan(data, _plain_name(name or f"plan{suffix}")), kind


async def _of_form(form: FormData, name: str | None) -> SentPlan:
    unknown = sorted({key for key in form if key not in _PARTS})
    if unknown or len(form.multi_items()) != len(set(form)):
        hint = "send the file `plan` and, if it has them, `hooks` and `manifest`, each once"
        detail = f"`{unknown[0]}` is no part of the form" if unknown else "a part of the form stands twice"
        raise Problem(422, "request.form", detail, hint=hint)
    plan = form.get("plan")
    if plan is None:
        raise Problem(422, "request.form", "the form has no part `plan`", hint="curl: -F plan=@nightly.csv")
    given = name or (plan.filename if isinstance(plan, UploadFile) else None) or "plan"
    hooks, manifest = form.get("hooks"), form.get("manifest")
    return SentPlan(
        await _data(plan),
        _plain_name(given),
        None if hooks is None else await _data(hooks),
        None if manifest is None else await _data(manifest),
    )


async def _data(part: UploadFile | str) -> bytes:
    return part.encode("utf-8", "surrogateescape") if isinstance(part, str) else await part.read()


def _plain_name(name: str) -> str:
    """Return the last part of a name, as one line."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return _NAME_BAD.sub("_", last)[:200] or "plan"


def _json(data: Any) -> Response:
    import orjson

    return Response(orjson.dumps(data), media_type="application/json")
