"""Every reader, given samples of its kind that were changed at random: a plan or faults come of them, nothing else.

A few hundred fixed changes are tried each time. To try others, and more of them:

    TEK_FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz -k workflow --timeout 0 -p no:cacheprovider

What fails is made as small as possible, kept in `.hypothesis` and tried first the next time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from fuzz.mutation import changed, check_draft, data_of, texts_of, time_limit
from hypothesis import given
from hypothesis import strategies as st
from support.plan_strategies import bounded

from taskexec.errors import Fault, TekError
from taskexec.plan import PlanDraft
from taskexec.sources import apply_hooks, read_csv, read_plan, read_planfile, read_sot
from taskexec.sources.config.manifest import apply_manifest
from taskexec.sources.workflow.reader import read_workflow

TABLES = texts_of("malformed/cases/csv_*", "plans/*/plan.csv", "plan.csv", "plans/*/plan.tsv")
STATES_OF_TRUTH = texts_of("malformed/cases/sot_*", "plans/*/plan.md", "sot.md")
WORKFLOWS = texts_of("malformed/cases/yaml_*", "malformed/cases/yaml_*/*.yaml", "plans/*/plan.yaml", "workflow.yaml")
PLAN_FILES = texts_of("malformed/cases/json_*", "plans/*/plan.json", "plan.json")
HOOKS = texts_of("malformed/cases/hooks_*/hooks.json", "plans/*/hooks.json")
MANIFESTS = texts_of("malformed/cases/manifest_*/manifest.json", "plans/*/manifest.json")
FILES = data_of("malformed/cases/*", "plans/*/plan.*", "plan.*", "*.yaml", "sot.md")

SUFFIXES = (".csv", ".md", ".yaml", ".json", ".txt", "")
PLAN = "id,title,queue\nfetch,Fetch it,Queue A — Prepare\nbuild,,Queue B — Work\na,,cpu\nb,,q\n"


@bounded(200)
@given(changed(TABLES), st.booleans())
def test_any_table_gives_a_plan_or_faults(text: str, use_row_ids: bool) -> None:
    check_draft(lambda: read_csv(text, "p", use_row_ids=use_row_ids), _file(text))


@bounded(200)
@given(changed(STATES_OF_TRUTH))
def test_any_state_of_truth_gives_a_plan_or_faults(text: str) -> None:
    check_draft(partial(read_sot, text, "p"), _file(text))


@bounded(200)
@given(changed(WORKFLOWS))
def test_any_workflow_gives_a_plan_or_faults(text: str) -> None:
    check_draft(partial(read_workflow, text, "p"), _file(text))


@bounded(200)
@given(changed(PLAN_FILES))
def test_any_planfile_gives_a_plan_or_faults(text: str) -> None:
    check_draft(partial(read_planfile, text, "p"), _file(text))


@bounded(150)
@given(changed(HOOKS))
def test_any_hooks_give_a_plan_or_faults(text: str) -> None:
    check_draft(partial(_completed, apply_hooks, text), {"plan": PLAN} | _file(text))


@bounded(150)
@given(changed(MANIFESTS))
def test_any_manifest_gives_a_plan_or_faults(text: str) -> None:
    check_draft(partial(_completed, apply_manifest, text), {"plan": PLAN} | _file(text))


@bounded(200)
@given(changed(FILES), st.sampled_from(SUFFIXES))
def test_any_bytes_give_a_plan_or_faults(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder, time_limit():
        path = Path(folder, f"plan{suffix}")
        path.write_bytes(data)
        draft = _read_or_faults(path)
    if isinstance(draft, PlanDraft):
        check_draft(lambda: draft, {str(path): _decoded(data)})
        return
    assert draft
    for place in (place for fault in draft for place in fault.places):
        assert place.file == str(path)
        assert place.line <= len(data)


def _read_or_faults(path: Path) -> PlanDraft | Sequence[Fault]:
    try:
        return read_plan(path)
    except TekError as error:
        return error.faults()


FOUND = {
    "number_that_ends_in_e": (read_planfile, '{"tasks": 99999999999999999999e'),
    "escape_behind_a_comma": (read_csv, 'id,cpus\na,"1,500\x1b[2J"\n'),
    "escape_in_a_name_of_a_column": (read_csv, "x\x1b[2J,command\na,make\n"),
    "comma_behind_stray_bracket": (read_planfile, "]\n,"),
    "empty_bullet_before_crlf": (read_sot, "## Execution Queue & Task Hooks\r\n1. **Queue A — B**\r\n   -\r\n"),
}
"""What once broke these claims: places outside of the file, messages that steer the terminal, an untold error."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_before_gives_a_plan_or_faults(name: str) -> None:
    read, text = FOUND[name]

    check_draft(lambda: read(text, "p"), _file(text))


def _file(text: str) -> dict[str, str]:
    return {"p": text.removeprefix("\ufeff")}


def _completed(apply: Callable[[PlanDraft, str, str], None], text: str) -> PlanDraft:
    draft = read_csv(PLAN, "plan")
    apply(draft, text, "p")
    return draft


def _decoded(data: bytes) -> str:
    """Return the text of a file that could be read."""
    marks = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    return data.decode(next((codec for mark, codec in marks if data.startswith(mark)), "utf-8-sig"))
