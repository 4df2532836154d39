"""Modules and functions stay short enough to be read at once, and no module is a drawer for anything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "taskexec"
MODULES = sorted(PACKAGE.rglob("*.py"))
MODULE_LINES = 600
FUNCTION_LINES = 60
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines the body takes, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def too_long(source: str) -> list[str]:
    """Return the functions whose body is too long."""
    return [
        f"{node.name}: {body_lines(node)} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > FUNCTION_LINES
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short(module: Path) -> None:
    source = module.read_text(encoding="utf-8")

    assert len(source.splitlines()) <= MODULE_LINES
    assert too_long(source) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


def test_no_module_is_a_drawer() -> None:
    names = {part for module in MODULES for part in module.relative_to(PACKAGE).with_suffix("").parts}

    assert names & DRAWERS == set()


def test_long_function_is_found() -> None:
    source = "def long():\n" + '    """Say."""\n' + "    pass\n" * (FUNCTION_LINES + 1)

    assert too_long(source) == ["long: 61 lines"]
