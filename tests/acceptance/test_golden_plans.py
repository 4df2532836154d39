"""Golden plans: each folder of `tests/plans` holds a plan and what `tek plan` says of it.

After an intended change, `TEK_GOLDEN=write` writes the expectations anew; read the difference before committing it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLANS = Path(__file__).parents[1] / "plans"


@pytest.mark.parametrize("case", sorted(path.name for path in PLANS.iterdir()))
def test_plan_is_read_and_compiled_as_before(case: str) -> None:
    folder = PLANS / case
    plan = next(folder.glob("plan.*"))
    hooks = ["--hooks", "hooks.json"] if (folder / "hooks.json").exists() else []
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TEK_")}

    done = subprocess.run(
        [Path(sys.executable).with_name("tek"), "plan", plan.name, *hooks, "--canvas", "--output", "json"],
        cwd=folder,
        env=environ,
        capture_output=True,
        check=True,
    )

    expected = folder / "expected.json"
    if os.environ.get("TEK_GOLDEN") == "write":
        expected.write_bytes(done.stdout)
    assert json.loads(done.stdout) == json.loads(expected.read_bytes())
