"""Large hostile inputs are read by every reader with bounded memory and in bounded time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MEGABYTE = 1_000_000
LONGEST_S = 30
"""Processor time of one input in all four readers."""
LARGEST_BYTES = 2 << 30
"""Address space of the process, of which some hundred megabytes are Python's own."""

READ = f"""
import resource, sys
from taskexec.errors import PlanRejected
from taskexec.plan import build_plan
from taskexec.sources import ReadOptions, read_plan

resource.setrlimit(resource.RLIMIT_AS, ({LARGEST_BYTES}, {LARGEST_BYTES}))
resource.setrlimit(resource.RLIMIT_CPU, ({LONGEST_S}, {LONGEST_S}))
for kind in ("csv", "sot", "workflow", "plan"):
    try:
        build_plan(read_plan(sys.argv[1], ReadOptions(kind=kind)))
        print(kind, "plan")
    except PlanRejected as rejected:
        print(kind, "rejected", *sorted({{fault.code for fault in rejected.faults()}}))
"""


def _repeated(part: str) -> Callable[[], str]:
    return lambda: part * (MEGABYTE // len(part))


def _wide(line: str) -> Callable[[], str]:
    """Return many lines with a number in each, under the heading of a State of Truth."""
    return lambda: "## 2) Execution Queue & Task Hooks\n" + "".join(line.format(at) for at in range(20_000))


INPUTS: dict[str, Callable[[], str]] = {
    "brackets": _repeated("["),
    "braces": _repeated("{"),
    "objects": _repeated('{"a":'),
    "quotes": _repeated('"'),
    "quotes_and_breaks": _repeated('"\n'),
    "commas": _repeated(","),
    "tabs_and_bars": _repeated("\t|"),
    "boxes": _repeated("- [ ] "),
    "boxes_on_lines": _repeated("- [ ] a\n"),
    "heading_of_digits": lambda: "# " + "9" * MEGABYTE,
    "dashes": _repeated("- "),
    "backticks": _repeated("`"),
    "backticks_apart": _repeated("` "),
    "fences": _repeated("```\n"),
    "comments": _repeated("<!--"),
    "angles": _repeated("<"),
    "stars": _repeated("*"),
    "hashes": _repeated("#"),
    "ampersands": _repeated("&a "),
    "aliases": lambda: "a: &a [x]\n" + "".join(f"b{at}: &b{at} [*a, *a]\n" for at in range(30_000)),
    "laughs": lambda: "x0: &x0 [a]\n" + "".join(f"x{at}: &x{at} [{f'*x{at - 1}, ' * 9}]\n" for at in range(1, 90)),
    "alias_in_itself": _repeated("&a [*a]"),
    "questions": _repeated("? "),
    "blanks": _repeated(" "),
    "breaks": _repeated("\r"),
    "digits": _repeated("9"),
    "dashes_in_ids": _wide("1. **Queue {0} — x**\n   - Task `t{0}` — b – c – d\n"),
    "ranges": _wide("1. **Queue {0} — x**\n   - Tasks: `T-1`–`T-9999`\n"),
    "dependencies": lambda: (
        "id,depends_on\n" + "".join(f"{at},{';'.join(map(str, range(40)))}\n" for at in range(9_000))
    ),
    "header": lambda: ",".join(f"column {at}" for at in range(20_000)) + "\n",
}


QUICK = ("brackets", "braces", "quotes", "quotes_and_breaks", "boxes", "backticks", "alias_in_itself", "comments")
"""Those that are tried each time; the others are slow tests."""


def _parameters() -> Iterator[object]:
    for name in INPUTS:
        marks = [] if name in QUICK else [pytest.mark.slow]
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", list(_parameters()))
def test_large_hostile_input_is_read_with_bounded_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.txt"
    path.write_text(INPUTS[name](), encoding="utf-8", newline="")

    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4
