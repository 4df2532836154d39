"""The programs of the guide for Python and of the examples, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.live import LiveCluster

ROOT = Path(__file__).parents[2]
_PROGRAM = re.compile(r"^```python\n# (?P<name>\w+\.py)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {
    match["name"]: match["text"] for match in _PROGRAM.finditer((ROOT / "docs/guides/python.md").read_text("utf-8"))
}


def run_program(live: LiveCluster, path: Path) -> list[str]:
    """Run a program in the project of a cluster; return the lines that it prints."""
    environ = live.place.environ() | {"TEK_REDIS_URL": live.server.url}
    done = subprocess.run(
        [sys.executable, path], cwd=live.project, env=environ, capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def written(live: LiveCluster, *names: str) -> Path:
    for name in names:
        (live.project / name).write_text(PROGRAMS[name])
    return live.project / names[-1]


def test_complete_example_of_the_guide_prints_what_the_guide_says(live: LiveCluster) -> None:
    steps = (live.project / "steps.py").read_text()
    (live.project / "measures.py").write_text(PROGRAMS["steps.py"])
    program = live.project / "nightly.py"
    program.write_text(PROGRAMS["nightly.py"].replace("steps:", "measures:"))  # the cluster has another `steps`

    printed = run_program(live, program)

    assert printed == ["succeeded {'succeeded': 7}", "slowest: 30", "3 files", "all is well"]
    assert (live.project / "steps.py").read_text() == steps


def test_example_with_an_event_loop_follows_and_waits(live: LiveCluster) -> None:
    assert run_program(live, written(live, "later.py")) == ["hello", "succeeded"]


def test_example_workflow_prints_its_result(live: LiveCluster) -> None:
    shutil.copytree(ROOT / "examples", live.project / "examples", dirs_exist_ok=True)

    printed = run_program(live, live.project / "examples" / "workflow.py")

    assert printed[-1].startswith("pi is about 3.1")
