"""One entry of a workflow as many tasks: `matrix` (every combination), `exclude`, and `foreach` (one list).

`${{ matrix.NAME }}` and `${{ item }}` in the texts of such an entry become the value as it is written, once: what
comes in is not looked at again. Numbers where only numbers may stand (`cpus: ${{ matrix.cpus }}`) stay numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from taskexec.sources.task.values import NUMBER_FIELDS
from taskexec.sources.tree.node import Findings, Node, did_you_mean
from taskexec.sources.values.amounts import show

__all__ = ["EXPANSION_FIELDS", "TASKS_MAX", "VALUES_MAX", "Expansion", "Member", "find_expressions"]

EXPANSION_FIELDS = ("matrix", "foreach", "exclude")
"""The fields of an entry that make many tasks of it."""
TASKS_MAX = 1_000_000
"""Most tasks of one workflow."""
VALUES_MAX = 50_000_000
"""Most values in all members of one entry."""

_EXPRESSION = re.compile(r"\$\{\{[ \t]*(?P<name>[^{}]*?)[ \t]*\}\}")
_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NOT_NAME = re.compile(r"^[^A-Za-z_]|[^A-Za-z0-9_-]")
_ITEM = "item"


@dataclass(frozen=True, slots=True)
class Member:
    """One task of an entry."""

    suffix: str
    """What its id has behind the entry's: `[3.11,linux]`."""
    bindings: Mapping[str, Node]
    """The value of each name, such as `matrix.python`."""

    def substitute(self, node: Node, *, is_number: bool = False) -> Node:
        """Return a value with the names in its texts replaced; what holds none is returned itself.

        Args:
            node: The value.
            is_number: Whether a text that is nothing but a name becomes the value instead of its text.
        """
        if isinstance(node.value, str):
            return self._substitute_text(node, is_number=is_number)
        if isinstance(node.value, dict):
            members = {key: self.substitute(member) for key, member in node.value.items()}
            is_changed = any(members[key] is not member for key, member in node.value.items())
            return _like(node, members) if is_changed else node
        if isinstance(node.value, list):
            items = [self.substitute(item) for item in node.value]
            is_changed = any(new is not old for new, old in zip(items, node.value, strict=True))
            return _like(node, items) if is_changed else node
        return node

    def substitute_task(self, node: Node, names: Collection[str]) -> Node:
        """Return the object of a task with the names in the texts of these fields replaced."""
        members = dict(node.members())
        for name in names:
            members[name] = self.substitute(members[name], is_number=name in NUMBER_FIELDS)
        return _like(node, members)

    def _substitute_text(self, node: Node, *, is_number: bool) -> Node:
        text = str(node.value)
        if "${{" not in text:
            return node
        whole = _EXPRESSION.fullmatch(text) if is_number else None
        if whole:
            bound = self.bindings[whole["name"]]
            return _like(node, bound.value, bound.written)
        return _like(node, _EXPRESSION.sub(lambda match: self.bindings[match["name"]].text(), text))


class Expansion:
    """What makes many tasks of an entry: checked names and values, and the members they give."""

    def __init__(self, entry: Node, findings: Findings, *, most: int) -> None:
        """Read the fields of an entry that has some of them; what is wrong becomes faults.

        Args:
            entry: The object of the entry.
            findings: Where faults go.
            most: Most members.
        """
        self._findings = findings
        self._most = most
        self._members = entry.members()
        self.task = _like(entry, {key: node for key, node in self._members.items() if key not in EXPANSION_FIELDS})
        """The entry without what makes many of it."""
        self.templates = [
            key for key, node in self.task.members().items() if any("${{" in text for text in _words(node))
        ]
        """Its fields in whose texts names may stand."""
        self.axes: dict[str, list[Node]] = {}
        """Values of each name, such as `matrix.python`, in the order of the file."""
        before = len(findings.faults)
        self._read(entry)
        self._excluded = self._read_exclude() if len(findings.faults) == before else []
        self._check_size(entry)
        self.is_sound = len(findings.faults) == before
        """Whether there was no fault; else there are no members."""

    def members(self) -> Iterator[Member]:
        """Yield the members in the order of the file, the last name's values fastest."""
        if not self.is_sound:
            return
        for values in product(*self.axes.values()):
            texts = [value.text() for value in values]
            if not self._is_excluded(texts):
                yield Member(f"[{','.join(texts)}]", dict(zip(self.axes, values, strict=True)))

    def check_expressions(self) -> bool:
        """Return whether each `${{ … }}` in the entry's texts names a value; the others become faults."""
        before = len(self._findings.faults)
        for key in self.templates:
            for node in _texts(self.task.members()[key]):
                self._check_text(node)
        return len(self._findings.faults) == before

    def _check_text(self, node: Node) -> None:
        text = str(node.value)
        for match in _EXPRESSION.finditer(text):
            name = match["name"]
            if name not in self.axes:
                message = f"{show(match[0])} names nothing; {', '.join(map(show, self.axes))} was expected"
                self._findings.fault(
                    "expression", message, node.offset, hint=did_you_mean(name, self.axes) or _known(self.axes)
                )
        if "${{" in _EXPRESSION.sub("", text):
            message = f"`${{{{` has no end in {show(text)}"
            self._findings.fault("expression", message, node.offset, hint="write `${{ matrix.NAME }}` or `${{ item }}`")

    def _read(self, entry: Node) -> None:
        matrix, foreach = self._members.get("matrix"), self._members.get("foreach")
        if matrix is not None and foreach is not None:
            message = f"{show(entry.path)} has both `matrix` and `foreach`"
            self._findings.fault("matrix", message, matrix.key_offset, foreach.key_offset, hint="keep one of them")
        elif foreach is not None:
            self.axes[_ITEM] = self._values(foreach)
        elif matrix is None:
            exclude = self._members["exclude"]
            hint = "give the task a `matrix`, or remove `exclude`"
            self._findings.fault("matrix", "`exclude` stands without `matrix`", exclude.key_offset, hint=hint)
        elif not matrix.is_object or not matrix.members():
            hint = "write `matrix:`, and below it `NAME: [VALUE, VALUE]`"
            self._findings.expected(matrix, "an object of lists such as `{python: ['3.11', '3.13']}`", hint=hint)
        else:
            for name, values in matrix.members().items():
                self._check_name(name, values)
                self.axes[f"matrix.{name}"] = self._values(values)

    def _check_name(self, name: str, node: Node) -> None:
        if not _AXIS.fullmatch(name):
            message = f"{show(name)} is no name for a matrix; letters, digits, `_` and `-` were expected"
            hint = f"write {show(_NOT_NAME.sub('_', name) or 'name')}, and so in `${{{{ matrix.… }}}}`"
            self._findings.fault("matrix", message, node.key_offset, hint=hint)

    def _values(self, node: Node) -> list[Node]:
        items = node.items()
        if not items:
            self._findings.expected(node, "a list of at least one value", hint="write a list such as `[1, 2]`")
        seen: dict[str, Node] = {}
        for item in items:
            if item.value is None or item.is_object or item.is_list:
                self._findings.expected(item, "a text, a number or a truth value")
                continue
            first = seen.setdefault(item.text(), item)
            if first is not item:
                message = f"value {show(item.text())} stands twice in {show(node.path)}"
                self._findings.fault("matrix", message, first.offset, item.offset, hint="keep one of them")
        return items

    def _read_exclude(self) -> list[tuple[tuple[int, ...], frozenset[tuple[str, ...]]]]:
        """Return the combinations to leave out, by the positions of the names they speak of."""
        exclude = self._members.get("exclude")
        if exclude is None or exclude.value is None:
            return []
        if not exclude.is_list or "matrix" not in self._members:
            hint = "write `exclude: [{NAME: VALUE}]` beside a `matrix`, or remove it"
            expected = "a list of objects such as `{python: '3.13'}`, beside a `matrix`,"
            self._findings.expected(exclude, expected, hint=hint)
            return []
        groups: dict[tuple[int, ...], set[tuple[str, ...]]] = {}
        known = {name.removeprefix("matrix."): self._texts_of(nodes) for name, nodes in self.axes.items()}
        for item in exclude.items():
            named = self._excluded_values(item, known)
            if named:
                positions = tuple(sorted(named))
                groups.setdefault(positions, set()).add(tuple(named[position] for position in positions))
        return [(positions, frozenset(values)) for positions, values in groups.items()]

    @staticmethod
    def _texts_of(nodes: list[Node]) -> Mapping[str, None]:
        return dict.fromkeys(node.text() for node in nodes)

    def _excluded_values(self, item: Node, known: Mapping[str, Mapping[str, None]]) -> dict[int, str]:
        if not item.is_object or not item.members():
            self._findings.expected(item, "an object such as `{python: '3.13'}`")
        named: dict[int, str] = {}
        names = list(known)
        for name, value in item.members().items():
            if name not in names:
                message = f"{show(name)} is no name of the matrix"
                self._findings.fault(
                    "matrix", message, value.key_offset, hint=did_you_mean(name, names) or _known(names)
                )
                continue
            if value.value is None or value.is_object or value.is_list or value.text() not in known[name]:
                self._findings.expected(value, f"one of {', '.join(map(show, [*known[name]][:8]))}")
                continue
            named[names.index(name)] = value.text()
        return named

    def _is_excluded(self, texts: list[str]) -> bool:
        return any(tuple(texts[position] for position in positions) in values for positions, values in self._excluded)

    def _check_size(self, entry: Node) -> None:
        size = math.prod(len(values) for values in self.axes.values())
        if size > self._most:
            message = f"{show(entry.path)} makes {size:,} tasks; a workflow has {TASKS_MAX:,} at most"
            self._findings.fault("too_many", message, entry.offset, hint="let one task do several of them")
        elif size * sum(1 for _ in _values(self.task)) > VALUES_MAX:
            message = f"{show(entry.path)} makes {size:,} tasks of very many values each"
            self._findings.fault("too_many", message, entry.offset, hint="move what is large to a file of its own")
        elif size * len(self._excluded) > 10 * TASKS_MAX:
            message = f"{show(entry.path)} excludes in {len(self._excluded):,} ways from {size:,} tasks"
            self._findings.fault("too_many", message, entry.offset, hint="list fewer values instead")


def _known(names: Collection[str]) -> str:
    return f"write one of {', '.join(map(show, [*names][:12]))}"


def find_expressions(node: Node) -> Iterator[Node]:
    """Yield the texts in a value that hold what only an entry with `matrix` or `foreach` may use."""
    for text in _texts(node):
        names = [match["name"] for match in _EXPRESSION.finditer(str(text.value))]
        if any(name == _ITEM or name.startswith("matrix.") for name in names):
            yield text


def _values(node: Node) -> Iterator[Node]:
    """Yield a value and all values in it."""
    yield node
    for child in (*node.members().values(), *node.items()):
        yield from _values(child)


def _texts(node: Node) -> Iterator[Node]:
    return (value for value in _values(node) if isinstance(value.value, str))


def _words(node: Node) -> Iterator[str]:
    return (str(text.value) for text in _texts(node))


def _like(node: Node, value: object, written: str | None = None) -> Node:
    """Return another value at the place of a node."""
    return Node(value, node.offset, node.key, node.key_offset, node.parent, written)
