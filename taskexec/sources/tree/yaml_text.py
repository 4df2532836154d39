"""YAML in which every value knows its line, column and path; what could surprise or exhaust a reader is refused.

One document, core tags only, at most 100 levels, aliases and merge keys (`<<`) as long as what they stand for stays
small. Built from PyYAML's events without recursion, so that no text can exhaust the stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from taskexec.errors import Fault, Place
from taskexec.sources.tree.node import DEPTH_MAX, Node, Places, Unreadable, did_you_mean
from taskexec.sources.tree.yaml_problems import describe_problem
from taskexec.sources.tree.yaml_scalars import CORE_TAGS, Unusable, resolve_scalar
from taskexec.sources.values.amounts import show

__all__ = ["EXPANDED_MAX", "parse_yaml"]

EXPANDED_MAX = 200_000
"""Most values that aliases may add to those that are written."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_MERGE = "<<"
_FLATTER = "a plan needs few levels: look for a bracket or an indentation that is not as meant"


def parse_yaml(text: str, places: Places, *, code: str = "workflow") -> tuple[Node, list[Fault]]:
    """Return the root of a YAML text, and a fault for each duplicate key (the last one's value is kept).

    An empty text is null. What an alias stands for keeps the places where it is written.

    Args:
        text: The whole text, without a byte order mark.
        places: The places of that text.
        code: What codes of faults begin with: `workflow.yaml`, `workflow.duplicate_key`, …

    Raises:
        Unreadable: The text is no YAML, or holds what is refused.
    """
    match = _UNPRINTABLE.search(text)
    if match:
        message = f"the text holds the character {show(match[0])}, which YAML does not allow"
        raise Unreadable(Fault(f"{code}.character", message, (places.at(match.start()),), "remove it"))
    builder = _TreeBuilder(places, code)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(places.source) if mark is None else places.at(min(mark.index, len(text)))
        message, hint = describe_problem(error, text)
        raise Unreadable(Fault(f"{code}.yaml", message, (place,), hint)) from error
    except yaml.YAMLError as error:
        hint = "save the file as plain text in UTF-8"
        raise Unreadable(Fault(f"{code}.yaml", f"not YAML: {error}", (Place(places.source),), hint)) from error
    return builder.root or Node(None, 0), builder.faults


@dataclass(slots=True)
class _Open:
    """A list or object whose end has not been seen."""

    node: Node
    anchor: str | None
    key: Node | None = None
    """The key whose value comes next."""
    merged: list[Node] = field(default_factory=list)
    """What stands behind its merge keys."""
    weight: int = 1
    """Values in it and itself, with what aliases stand for."""
    height: int = 1
    """Levels of it."""


class _TreeBuilder:
    """Builds the tree, event by event."""

    def __init__(self, places: Places, code: str) -> None:
        self.root: Node | None = None
        self.faults: list[Fault] = []
        self._places = places
        self._code = code
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._added = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
            self._attach(node, weight=1, height=0)
            self._remember(event.anchor, node, 1, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._enter(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._leave()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            hint = "keep what stands before `---`, or move the rest to a file of its own"
            raise self._refused("documents", "the file holds more than one document", event, hint)

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        tag = self._core_tag(event)
        text: str = event.value
        forbidden = _FORBIDDEN.search(text)
        if forbidden:
            message = f"{show(text)} holds the control character {show(forbidden[0])}"
            raise self._refused("character", message, event, "no text may hold it")
        is_plain = not event.style and event.tag != "!"
        try:
            value = resolve_scalar(text, tag, is_plain=is_plain)
        except Unusable as error:
            raise self._refused("number", f"{show(text)} {error}", event, error.hint) from error
        is_written_otherwise = value is not None and not isinstance(value, str)
        is_written_otherwise = is_written_otherwise or (is_plain and text == _MERGE)  # in quotes it is a text
        return Node(value, _offset(event), written=text if is_written_otherwise else None)

    def _core_tag(self, event: yaml.NodeEvent) -> str | None:
        tag: str | None = getattr(event, "tag", None)
        if tag is None or tag == "!":
            return None
        is_fitting = tag in CORE_TAGS
        if isinstance(event, yaml.CollectionStartEvent):
            is_fitting = CORE_TAGS.get(tag) == ("map" if isinstance(event, yaml.MappingStartEvent) else "seq")
        if not is_fitting:
            written = tag.replace("tag:yaml.org,2002:", "!!") if tag.startswith("tag:") else tag
            hint = "remove the tag: values are texts, numbers, truth values, lists and objects only"
            raise self._refused("tag", f"tag {show(written)} is not allowed", event, hint)
        return CORE_TAGS[tag]

    def _enter(self, event: yaml.CollectionStartEvent) -> None:
        self._core_tag(event)
        if len(self._open) >= DEPTH_MAX:
            raise self._refused("depth", f"nested more than {DEPTH_MAX} deep", event, _FLATTER)
        node = Node({} if isinstance(event, yaml.MappingStartEvent) else [], _offset(event))
        self._attach(node, weight=0, height=0)  # counted when it ends
        self._anchors.pop(event.anchor or "", None)
        self._open.append(_Open(node, event.anchor))

    def _leave(self) -> None:
        closed = self._open.pop()
        if closed.merged:
            self._merge(closed)
        if closed.anchor not in self._anchors:  # else an anchor of that name inside it is the later one
            self._remember(closed.anchor, closed.node, closed.weight, closed.height)
        if self._open:
            self._open[-1].weight += closed.weight
            self._open[-1].height = max(self._open[-1].height, closed.height + 1)

    def _remember(self, anchor: str | None, node: Node, weight: int, height: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, weight, height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = f"alias {show('*' + str(event.anchor))}"
        if any(opened.anchor == event.anchor for opened in self._open) and event.anchor not in self._anchors:
            raise self._refused("alias", f"{name} stands inside what it stands for", event, "write the value out")
        if event.anchor not in self._anchors:
            likely = did_you_mean(str(event.anchor), self._anchors)
            hint = f"write `&{event.anchor}` before what it stands for, or put a text that begins with `*` in quotes"
            raise self._refused("alias", f"{name} has no anchor before it", event, likely or hint)
        node, weight, height = self._anchors[event.anchor]
        self._added += weight
        if self._added > EXPANDED_MAX:
            message = f"with {name}, aliases stand for more than {EXPANDED_MAX:,} values"
            raise self._refused("alias", message, event, "write fewer of them")
        if len(self._open) + height > DEPTH_MAX:
            raise self._refused(
                "depth",
                f"with {name}, nested more than {DEPTH_MAX} deep",
                event,
                "write the value out, with fewer levels",
            )
        # the children are shared: only who asks from above sees another parent
        self._attach(Node(node.value, node.offset, written=node.written), weight=weight, height=height)

    def _attach(self, node: Node, *, weight: int, height: int) -> None:
        """Put a node where it belongs: as the root, an item, a key, or the value of the key before it."""
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        top.weight += weight
        top.height = max(top.height, height + 1)
        node.parent = top.node
        if isinstance(top.node.value, list):
            node.key = len(top.node.value)
            top.node.value.append(node)
        elif top.key is None:
            top.key = self._checked_key(node)
        else:
            self._attach_member(top, top.key, node)
            top.key = None

    def _checked_key(self, node: Node) -> Node:
        if node.is_object or node.is_list:
            message = f"{node.kind} stands as a key in {show(node.parent.path if node.parent else '$')}"
            fault = Fault(f"{self._code}.key", message, (self._places.at(node.offset),), "put the key in quotes")
            raise Unreadable(fault)
        return node

    def _attach_member(self, top: _Open, key: Node, node: Node) -> None:
        name = "null" if key.value is None else key.text()
        if key.written == _MERGE:
            top.merged.append(node)
        node.key, node.key_offset = name, key.offset
        members = top.node.members()
        first = members.get(name)
        if first is not None:
            places = (self._places.at(first.key_offset), self._places.at(key.offset))
            message = f"key {show(name)} stands twice in {show(top.node.path)}"
            self.faults.append(Fault(f"{self._code}.duplicate_key", message, places, "keep one of them"))
        members[name] = node

    def _merge(self, closed: _Open) -> None:
        """Add what a merge key stands for; what is written in the object itself wins, then what comes first."""
        own = closed.node.members()
        del own[_MERGE]
        united: dict[str, Node] = {}
        for node in closed.merged:
            for source in reversed(node.items() if node.is_list else [node]):
                if not source.is_object:
                    message = f"{source.kind} stands behind `<<`, where an object or a list of them was expected"
                    hint = "a merge key takes aliases: `<<: *name`"
                    fault = Fault(f"{self._code}.merge", message, (self._places.at(source.offset),), hint)
                    raise Unreadable(fault)
                united |= source.members()
        merged = united | own
        own.clear()
        own.update(merged)

    def _refused(self, what: str, message: str, event: yaml.Event, hint: str) -> Unreadable:
        place = self._places.at(_offset(event))
        return Unreadable(Fault(f"{self._code}.{what}", message, (place,), hint))


def _offset(event: yaml.Event) -> int:
    assert event.start_mark is not None  # every event of a text has one
    return event.start_mark.index
