"""What the columns of tables are called: the one place that knows the names of planners, trackers and schedulers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from taskexec.errors import UsageError
from taskexec.sources.values.durations import seconds_per_unit

__all__ = [
    "ALIASES",
    "FIELDS",
    "METADATA_PREFIX",
    "SLURM_IDS",
    "SLURM_ONLY",
    "UNITED",
    "field_and_unit",
    "fields_named",
    "normalize",
    "parse_columns",
]

_ALIASES = {
    "id": (
        "id, code, key, issue key, task id, uid, no, nr, story id, job id, job id raw, ticket, ticket id, item id, "
        "activity id, bug id, card id, work item id, work package id, step id, unique id, identifier, record id, "
        "task no, task nr, task number, number, #, vorgangsnr, lfd nr, kennung, n°, ref, wbs, wbs code, issue id, task"
    ),
    "title": (
        "title, task name, vorgangsname, job name, name, summary, subject, activity, activity name, step, step name, "
        "task title, card name, issue title, story, nom, nom de la tâche, titel, "
        "bezeichnung, aufgabe, aufgabenname, task"
    ),
    "depends_on": (
        "depends on, dependencies, dependency, predecessors, predecessor, blocked by, is blocked by, "
        "blocked by (dependencies), dependent on, inward issue link (blocks), inward issue link (blocker), "
        "inward issue link (is blocked by), outward issue link (dependency), outward issue link (depends), "
        "outward issue link (depends on), vorgänger, vorgaenger, deps, depends, needs, prerequisites, prerequisite, "
        "upstream, after, waits for, "
        "predecessor ids, predecessor details, blocked by tasks, prédécesseurs, abhängigkeiten, abhängig von"
    ),
    "blocks": (
        "blocks, outward issue link (blocks), outward issue link (blocker), inward issue link (dependency), "
        "inward issue link (depends), inward issue link (depends on), successors, successor, nachfolger, blocking, "
        "blocking (dependencies)"
    ),
    "command": "command, cmd, run, command line, befehl",
    "agent": "agent",
    "payload": "payload",
    "queue": "queue, partition",
    "lane": "lane, swimlane",
    "cpus": "cpus, cpu, cores, alloc cpus, req cpus, ncpus, vcpus, num cpus, cpu count, cpu cores",
    "memory": "memory, mem, req mem, ram",
    "gpus": "gpus, gpu, num gpus, ngpus, gpu count",
    "gpu_memory": "gpu memory, gpu mem, vram",
    "disk": "disk, disk space, tmp, tmp disk, min tmp disk, scratch",
    "has": "has, has labels, required labels, constraint, constraints",
    "not": "not, has not, excluded labels",
    "exclusive": "exclusive",
    "nodes": "nodes, n nodes, num nodes, req nodes, node count, ranks",
    "packed": "packed",
    "alternatives": "alternatives",
    "tres": "alloc tres, req tres, tres",
    "labels": "labels, label, tags, capabilities, capability",
    "duration": "duration, dauer, elapsed, elapsed raw, runtime, estimated duration, original duration, durée",
    "timeout": "timeout, time limit, max runtime",
    "total_timeout": "total timeout, overall timeout, max total runtime",
    "deadline": "deadline, deadline at",
    "retries": "retries, retry, max retries",
    "retry_delay": "retry delay, retry wait, retry interval, retry after",
    "retry_backoff": "retry backoff, retry strategy",
    "retry_factor": "retry factor, retry multiplier, backoff factor",
    "retry_max_delay": "retry max delay, max retry delay, retry delay max",
    "retry_jitter": "retry jitter",
    "retry_on": "retry on, retry if, retry when",
    "retry_memory": "retry memory, retry memory factor",
    "inputs": "inputs, input files",
    "outputs": "outputs, output files",
    "priority": "priority, prio, priorität, priorite, moscow",
    "status": (
        "status, state, activity status, state name, statut, état, zustand, is done, done, completed, finished, "
        "satisfied, erledigt"
    ),
    "progress": (
        "% complete, percent complete, completion %, % completed, % done, percent done, progress, progress %, "
        "% abgeschlossen, completion, fortschritt, % achevé"
    ),
    "done_at": "completed at, completed on, date completed, closed at, closed on, resolved at, resolved",
    "active": "active, aktiv, actif",
    "archived": "archived, is archived",
    "layer": "layer",
    "acceptance_criteria": "acceptance criteria, acceptance, akzeptanzkriterien, definition of done, dod",
    "requirements": "requirements, requirement, anforderungen",
    "outline": "outline level, gliederungsebene, niveau hiérarchique",
    "summary_row": "summary, is summary, sammelvorgang",
    "milestone": "milestone, is milestone, meilenstein",
}
"""Names of the columns of each field, the likeliest first, compared as `normalize` makes them."""

SLURM_IDS = frozenset({"jobid", "jobidraw"})
"""Names of Slurm's columns of ids, normalized; some other names mean a field only beside one of these."""

SLURM_ONLY = frozenset({"constraint", "constraints"})
"""Names, normalized, that mean something else where people plan."""

METADATA_PREFIX = "meta:"
"""A column whose name begins like this is kept as metadata, whatever its name means otherwise."""

UNITED = frozenset(
    {"depends_on", "blocks", "has", "not", "labels", "acceptance_criteria", "requirements", "inputs", "outputs"}
)
"""Fields that may have several columns; their cells are united."""

_DROPPED = re.compile(r"[\s_\-.()\[\]{}:]+")
_WITH_UNIT = re.compile(r"(?P<name>.*[^\s_\-.(\[/])[\s_\-.(\[/]+(?:in\s+)?(?P<unit>[^\W\d_]+)[\s)\].]*")
_NAME_MAX = 100
_MEMORY_UNITS = {"b": "b", "bytes": "b", "k": "k", "m": "m", "g": "g", "t": "t"}
_MEMORY_SUFFIX = re.compile(r"(?P<unit>[kmgt])i?b?")
_LIKENESS = 0.7
_TIMED = ("duration", "timeout", "total_timeout", "retry_delay", "retry_max_delay")
_SIZED = ("memory", "gpu_memory", "disk")


def normalize(name: str) -> str:
    """Return a column's name without case, blanks, `_`, `-`, `.` and brackets."""
    name = name.strip()
    return _DROPPED.sub("", (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold())


ALIASES = {field: tuple(map(normalize, names.split(","))) for field, names in _ALIASES.items()}
"""The names of each field's columns, normalized, the likeliest first."""

_BY_NAME: dict[str, tuple[str, ...]] = {}
for _field, _names in ALIASES.items():
    for _name in _names:
        _BY_NAME[_name] = (*_BY_NAME.get(_name, ()), _field)

FIELDS = tuple(ALIASES)
"""The fields that a column can be mapped to."""


def fields_named(name: str) -> tuple[str, ...]:
    """Return the fields that a column's name may mean."""
    if not name or len(name) > _NAME_MAX or name.isspace():
        return ()
    whole = _BY_NAME.get(normalize(name))
    return whole or tuple(field for field in (*_TIMED, *_SIZED) if field_and_unit(name, field))


def field_and_unit(name: str, field: str) -> tuple[int, str | float | None] | None:
    """Return how a column's name means a field, or None where it does not.

    Returns:
        The rank of the name among the field's names, 0 being the likeliest; and the unit that it states: seconds for
        times (`duration (days)` is 86,400.0), a letter for sizes (`memory_mb` is `m`), else None.
    """
    names = ALIASES[field]
    whole = normalize(name)
    if whole in names:
        return names.index(whole), 1.0 if whole == "elapsedraw" else None
    match = _WITH_UNIT.fullmatch(name.strip()) if field in _TIMED or field in _SIZED else None
    if match is None or normalize(match["name"]) not in names:
        return None
    unit = seconds_per_unit(match["unit"]) if field in _TIMED else _size_unit(match["unit"].casefold())
    return None if unit is None else (names.index(normalize(match["name"])), unit)


def _size_unit(word: str) -> str | None:
    match = _MEMORY_SUFFIX.fullmatch(word)
    return match["unit"] if match else _MEMORY_UNITS.get(word)


def parse_columns(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the names of columns by field that texts such as `id=Ref,depends_on=After` give.

    Raises:
        UsageError: A text has another form, or a field is not known.
    """
    columns: dict[str, tuple[str, ...]] = {}
    for pair in (pair for text in texts for pair in text.split(",") if pair.strip()):
        field, equals, name = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise UsageError(f"`{pair}` is not FIELD=NAME", hint="write `--columns id=Ref,depends_on=After`")
        if field not in FIELDS:
            close = get_close_matches(field, FIELDS, n=1, cutoff=_LIKENESS)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(FIELDS)}"
            raise UsageError(f"`{field}` is no field that a column can be mapped to", hint=hint)
        columns[field] = (*columns.get(field, ()), name)
    return columns
