"""The files of a workflow: the one that was asked for and those it includes, each read once, included ones first."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from taskexec.errors import Fault, Place, PlanRejected
from taskexec.plan.draft import PlanDraft
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings, Node, Places, Unreadable
from taskexec.sources.tree.yaml_text import parse_yaml
from taskexec.sources.values.amounts import show

__all__ = ["DEPTH_MAX", "FILES_MAX", "ReadInclude", "WorkflowFile", "includes_from", "load_files"]

FILES_MAX = 100
"""Most files of one workflow."""
DEPTH_MAX = 10
"""Most includes inside each other."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:")

ReadInclude = Callable[[str], tuple[str, str]]
"""Returns text and shown path of an included file, given its path from the folder of the first file (normal form,
`/` between its parts, never out of that folder). Raises `PlanRejected` when the file cannot be read."""


def includes_from(first: Path, read_text: Callable[[Path], str]) -> ReadInclude:
    """Return what reads the includes of a workflow's first file; links may not lead out of its folder either.

    Args:
        first: The first file.
        read_text: Returns the text of a file; raises `PlanRejected` when it cannot be read.
    """

    def read_include(path: str) -> tuple[str, str]:
        file = first.parent / path
        folder = first.parent.resolve()
        if not file.resolve().is_relative_to(folder):
            message = f"`{file}` is a link that leads out of the folder of the workflow"
            raise PlanRejected([Fault("source.outside", message, (Place(str(file)),), "copy the file into it")])
        return read_text(file), str(file)

    return read_include


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """One file."""

    root: Node
    """What it says."""
    findings: Findings
    """Where faults and warnings about it go; they are the draft's."""
    is_json: bool
    """Whether it is JSON; else YAML."""
    has_expressions: bool
    """Whether `${{` stands in it anywhere."""


def load_files(draft: PlanDraft, text: str, read_include: ReadInclude | None) -> list[WorkflowFile]:
    """Return a workflow's files, each behind those it includes; what cannot be read is a fault and left out.

    Args:
        draft: The draft; its `source` is the first file, and it gets faults and the names of other files.
        text: The text of the first file.
        read_include: Reads the others; None refuses all includes.
    """
    loader = _Loader(draft, read_include)
    loader.load(text, draft.source, (posixpath.basename(draft.source),))
    return loader.files


class _Loader:
    """Follows includes depth first."""

    def __init__(self, draft: PlanDraft, read_include: ReadInclude | None) -> None:
        self.files: list[WorkflowFile] = []
        self._draft = draft
        self._read_include = read_include
        self._seen: set[str] = set()

    def load(self, text: str, source: str, chain: tuple[str, ...]) -> None:
        """Read one file and what it includes; `chain` are the paths from the first file to it."""
        self._seen.add(chain[-1])
        text = text.removeprefix("\ufeff")
        findings = Findings(TextPlaces(text, source), "workflow", self._draft.faults, self._draft.warnings)
        try:
            root, duplicates, is_json = _parse(text, findings.places)
        except Unreadable as unreadable:
            self._draft.faults.append(unreadable.fault)
            return
        self._draft.faults.extend(duplicates)
        include = root.members().get("include")
        if include is not None and include.value is not None:
            self._follow(include, findings, chain)
        self.files.append(WorkflowFile(root, findings, is_json, "${{" in text))

    def _follow(self, include: Node, findings: Findings, chain: tuple[str, ...]) -> None:
        entries = [include] if isinstance(include.value, str) else include.items()
        if not isinstance(include.value, str | list):
            findings.expected(include, "a list of files", hint="write `include: [other.yaml]`")
        for entry in entries:
            if not isinstance(entry.value, str):
                findings.expected(entry, "the path of a file", hint="write it as a text, such as `parts/other.yaml`")
                continue
            path = self._resolve(entry.value, chain[-1])
            problem, hint = self._problem(entry.value, path, chain)
            if problem is not None:
                findings.fault("include", f"{show(entry.value)} {problem}", entry.offset, hint=hint)
            elif path not in self._seen:
                self._include(path, entry, findings, chain)

    def _include(self, path: str, entry: Node, findings: Findings, chain: tuple[str, ...]) -> None:
        assert self._read_include is not None  # else refused before
        try:
            text, source = self._read_include(path)
        except PlanRejected as error:
            for fault in error.faults():
                message = f"{show(path)} cannot be included: {fault.message}"
                findings.fault("include", message, entry.offset, hint=fault.hint)
            return
        self._draft.reading.files.append(source)
        self.load(text, source, (*chain, path))

    @staticmethod
    def _resolve(written: str, including: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(including), written))

    def _problem(self, written: str, path: str, chain: tuple[str, ...]) -> tuple[str | None, str | None]:
        """Return why a file may not be included, and a remedy; or None twice."""
        if not written.strip() or "\0" in written:
            return "is no path of a file", "write one such as `parts/other.yaml`, or remove the entry"
        if _URL.match(written):
            return "is a URL, and only files can be included", "download it into the folder of the workflow"
        if written.startswith("/") or "\\" in written:
            return "is no relative path", "name the file from the including one, with `/` between folders"
        if path.split("/", 1)[0] == "..":
            return "lies outside the folder of the workflow", "move the file into that folder"
        if path in chain:
            circle = " includes ".join(map(show, [*chain[chain.index(path) :], path]))
            return f"includes itself: {circle}", "remove one of these includes"
        if self._read_include is None:
            return "cannot be included: the workflow does not come from a folder", "save the workflow to a file"
        if len(chain) > DEPTH_MAX:
            return f"is included more than {DEPTH_MAX} deep", "include it from the first file"
        if len(self._seen) >= FILES_MAX and path not in self._seen:
            return f"is one file too many, {FILES_MAX} are the most", "unite some of them"
        return None, None


def _parse(text: str, places: Places) -> tuple[Node, list[Fault], bool]:
    """Return root and faults of a text, and whether it is JSON."""
    if not text.lstrip().startswith("{"):
        return *parse_yaml(text, places), False
    try:
        root, duplicates = parse_json(text, places, code="workflow")
        return root.grown(), duplicates, True
    except Unreadable:
        if places.source.lower().endswith(".json"):
            raise
    return *parse_yaml(text, places), False  # `{a: b}` is YAML as well
