"""What the fields of a task in a State of Truth mean: the same keys for backlog items and for tasks of a queue.

`Dependencies` (`Depends on`), `Command`, `Agent`, `Queue`, `Resources`, `Duration`, `Timeout`, `Retries`, `Priority`,
`Labels` (`Tags`), `Acceptance`, `Requirements`, `Layer`, and those of `policy`, are fields of the task; all others are
its metadata, under their key in small letters, `Artifacts` with braces spelled out and `;` between. An executed item is
never run, so that its instructions and amounts are metadata too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

from taskexec.errors import Fault
from taskexec.plan.draft import DraftTask, Located
from taskexec.sources.sot.artifacts import list_artifacts
from taskexec.sources.sot.bullets import Bullet, BulletReader
from taskexec.sources.sot.details import apply_details
from taskexec.sources.sot.fields import DESCRIPTION
from taskexec.sources.sot.keys import ALIASES, KNOWN_KEYS
from taskexec.sources.sot.names import SotTask
from taskexec.sources.sot.policy import PATHS, POLICY, give_value, read_paths, seconds_above_zero
from taskexec.sources.task.instructions import CommandWrong, payload_of, takes_text
from taskexec.sources.tree.node import did_you_mean
from taskexec.sources.values.amounts import ROUTES, parse_count, show
from taskexec.sources.values.durations import parse_duration_s
from taskexec.sources.values.words import parse_priority, parse_status

__all__ = ["Role", "TaskReader"]


class Role(Enum):
    """Where a task stands in its file."""

    QUEUED = auto()
    """In a queue, as a bullet `Task`: written for `tek`, so that what cannot be read is a fault."""
    PLANNED = auto()
    """In a list of things to do: written for people, so that amounts in other words are metadata."""
    EXECUTED = auto()
    """In a ledger: what is said of it is a record."""


_DOABLE = frozenset({"agent", "command", "resources", "duration", "timeout", "retries", *POLICY})
"""Keys that mean nothing for what is done."""

_AMOUNTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "duration": ("duration_s", parse_duration_s),
    "timeout": ("timeout_s", seconds_above_zero),
    "retries": ("retries", parse_count),
    "priority": ("priority", parse_priority),
    **POLICY,
}
"""For each key: the field that `give_value` knows, and what reads it."""

_WORDS = {"labels": "labels", "acceptance criteria": "acceptance_criteria", "requirements": "requirements"}
_MEANINGFUL = frozenset({"dependencies", "agent", "layer", "queue", "resources", "status", *_AMOUNTS, *_WORDS})
"""What is more than metadata, besides instructions and details."""
_QUEUED_KEYS = (*sorted(KNOWN_KEYS), "details")
_MEANINGFUL_KEYS = ("dependencies", "depends on", "command", "agent", "resources", "priority", "timeout", "retries")
"""Keys that a slip of the pen would make metadata of, so that the plan is another."""


class TaskReader:
    """Gives tasks what their fields say."""

    def __init__(self, bullets: BulletReader) -> None:
        self._bullets = bullets
        self._hints: dict[tuple[str, Role], str | None] = {}
        self._repeated: dict[str, list[str]] = {}
        self._words: dict[str, list[str]] = {}

    def read(self, task: SotTask, fields: Sequence[Bullet], role: Role) -> None:
        """Read all fields of one task; `Details` count last and instructions when the agent is known."""
        is_record = role is Role.EXECUTED
        commands: list[Bullet] = []
        details: list[Bullet] = []
        for bullet in fields:
            key = ALIASES.get(bullet.key, bullet.key)
            if is_record and (key not in _MEANINGFUL or key in _DOABLE):
                self._keep(task, bullet, key)
            elif key == "command":
                commands.append(bullet)
            elif key == "details" and role is Role.QUEUED:
                details.append(bullet)
            else:
                self._read_field(task, bullet, key, role)
        if commands:
            self._read_commands(task, commands)
        if self._words or self._repeated:
            self._join_repeated(task.draft)
        for bullet in details:
            apply_details(task, bullet, self._bullets)

    def _join_repeated(self, draft: DraftTask) -> None:
        """Give a task the lists and metadata that several of its fields make together."""
        for name, words in self._words.items():
            setattr(draft, name, tuple(words))
        for key, texts in self._repeated.items():
            draft.metadata[key] = "; ".join(texts)
        self._words.clear()
        self._repeated.clear()

    def _read_field(self, task: SotTask, bullet: Bullet, key: str, role: Role) -> None:
        draft = task.draft
        if key == "dependencies":
            task.dependencies.append(bullet)
        elif key == "agent":
            draft.agent = self._bullets.word(bullet) or draft.agent
        elif key == "layer":
            draft.layer = self._bullets.word(bullet) or draft.layer
        elif key == "queue":
            self._read_queue(task, bullet)
        elif key == "resources":
            self._bullets.resources(bullet).give_to(draft)
        elif key in _AMOUNTS:
            self._read_amount(task, bullet, key, role)
        elif key in _WORDS:
            self._words.setdefault(_WORDS[key], []).extend(self._list_words(bullet, key))
        elif key in PATHS:
            self._read_paths(task, bullet, key, role)
        elif key == "status":
            self._read_status(task, bullet, role)
        else:
            self._keep(task, bullet, key)
            self._warn_unknown(bullet, role)

    def _read_queue(self, task: SotTask, bullet: Bullet) -> None:
        word = self._bullets.word(bullet)
        route = None if word is None else ROUTES.get(word.value.lower())
        if word is not None and route is not None:
            task.draft.route = Located(route, word.place)
        else:
            task.draft.lane = word or task.draft.lane

    def _read_amount(self, task: SotTask, bullet: Bullet, key: str, role: Role) -> None:
        word = self._bullets.word(bullet)
        if word is None:
            return
        name, parse = _AMOUNTS[key]
        try:
            give_value(task.draft, name, Located(parse(word.value), word.place))
        except ValueError as error:
            if role is Role.QUEUED:
                message = f"{show(word.value)} of `{bullet.key}`: {error}"
                hint = f"correct the value, or remove `{bullet.key.capitalize()}`"
                self._bullets.fault("sot.number", message, word.place, hint=hint)
            else:
                self._keep(task, bullet, key)
                message = f"{show(word.value)} of `{bullet.key}` is kept as metadata only: {error}"
                hint = f"correct the value, or remove `{bullet.key.capitalize()}`"
                self._bullets.warnings.append(Fault("sot.number", message, (word.place,), hint))

    def _read_paths(self, task: SotTask, bullet: Bullet, key: str, role: Role) -> None:
        """Read declared files; in a list for people, words without backticks are a remark, and kept with all."""
        paths, words = read_paths(self._bullets, bullet)
        meant = sorted([*paths, *words], key=lambda path: path.place) if role is Role.QUEUED else paths
        setattr(task.draft, key, (*getattr(task.draft, key), *meant))
        if words and role is not Role.QUEUED:
            self._keep(task, bullet, key)
            message = f"{show(words[0].value)} of `{bullet.key}` is kept as metadata only"
            hint = "write paths in backticks: `` `data/in.csv` ``"
            self._bullets.warnings.append(Fault("sot.paths", message, (words[0].place,), hint))

    def _list_words(self, bullet: Bullet, key: str) -> list[str]:
        """Return the words of a list; criteria hold commas, so that only `;` and bullets part them."""
        found = []
        for start, end in self._bullets.pieces(bullet):
            text = self._bullets.text(Bullet("", start, start, end))
            text = text.replace(";", ",") if key != "acceptance criteria" else text
            found += text.split("," if key != "acceptance criteria" else ";")
        words = (_without_box(word).strip("`* ") for word in found)
        return [word for word in words if word]

    def _read_status(self, task: SotTask, bullet: Bullet, role: Role) -> None:
        word = self._bullets.word(bullet)
        if word is None:
            return
        is_done = parse_status(word.value)
        if role is Role.QUEUED and is_done:
            task.draft.satisfied = Located(True, word.place)
        if role is Role.PLANNED and is_done:
            message = f"{show(task.draft.id.value)} has an open box and the status {show(word.value)}; it will be run"
            hint = "tick its box if it is done: `- [x]`"
            self._bullets.warnings.append(Fault("sot.status", message, (word.place,), hint))
        if role is not Role.QUEUED or word.value.casefold() != "done":
            self._keep(task, bullet, "status")

    def _read_commands(self, task: SotTask, fields: Sequence[Bullet]) -> None:
        commands = [command for bullet in fields for command in self._commands(bullet)]
        agent = None if task.draft.agent is None else task.draft.agent.value
        if len(commands) > 1 and agent is not None and (agent == "python" or takes_text(agent)):
            message = f"agent {show(agent)} has {len(commands)} commands, where one was expected"
            hint = "write a task for each, or one command that does it all"
            self._bullets.fault("sot.command", message, *(command.place for command in commands[:10]), hint=hint)
            return
        payloads = []
        for command in commands:
            try:
                payloads.append(payload_of(command.value, agent))
            except CommandWrong as wrong:
                message = f"command {show(command.value)} {wrong}"
                self._bullets.fault("sot.command", message, command.place, hint=wrong.hint)
        if payloads:
            joined = {"commands": [command for payload in payloads for command in payload.get("commands", ())]}
            task.draft.payload = joined if "commands" in payloads[0] else payloads[0]

    def _commands(self, bullet: Bullet) -> list[Located[str]]:
        """Return the commands of a field: what stands in backticks, else each bullet or the whole text."""
        found = []
        for start, end in self._bullets.pieces(bullet):
            codes = self._bullets.codes(start, end)
            text = self._bullets.text(Bullet("", start, start, end))
            if not codes and text.strip("`"):
                codes = [Located(text, self._bullets.places.at(start))]
            found += codes
        return found

    def _keep(self, task: SotTask, bullet: Bullet, key: str) -> None:
        """Keep a field as metadata; several of one key are joined, a repeated text is not."""
        text = self._bullets.text(bullet)
        if key == "artifacts":
            text = ";".join(list_artifacts(text))
        if not text:
            return
        first = task.draft.metadata.setdefault(key, text)
        if first is not text:
            texts = self._repeated.setdefault(key, [first])
            if text != texts[-1]:
                texts.append(text)

    def _warn_unknown(self, bullet: Bullet, role: Role) -> None:
        """Warn of a key that may be a slip of the pen."""
        if bullet.key in KNOWN_KEYS or role is Role.EXECUTED or (role is Role.PLANNED and bullet.key == DESCRIPTION):
            return
        if (bullet.key, role) not in self._hints:
            known = _QUEUED_KEYS if role is Role.QUEUED else _MEANINGFUL_KEYS
            self._hints[bullet.key, role] = did_you_mean(bullet.key, known)
        hint = self._hints[bullet.key, role]
        if role is Role.QUEUED or hint is not None:
            what = "a bullet without a key" if bullet.key == DESCRIPTION else f"key {show(bullet.key)}"
            place = self._bullets.places.at(bullet.key_start)
            message = f"{what} means nothing for a task and is kept as metadata"
            self._bullets.warnings.append(Fault("sot.unknown_key", message, (place,), hint))


def _without_box(word: str) -> str:
    word = word.strip()
    return word[3:].strip() if word[:3] in ("[ ]", "[x]", "[X]") else word
