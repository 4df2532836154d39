"""`tek --help` stays quick, because it imports nothing but click and the standard library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("celery", "cryptography", "flower", "kombu", "orjson", "psutil", "pydantic", "pydantic_settings"),
    *("prometheus_client", "redis", "rich", "structlog", "tornado", "yaml"),
}

PROGRAM = """
import json, sys
from taskexec.cli.main import tek
try:
    tek.main({arguments!r}, prog_name="tek")
except SystemExit as exit:
    status = exit.code
print(json.dumps([status, sorted({{name.partition(".")[0] for name in sys.modules}})]), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_only_click_and_the_standard_library_are_imported(arguments: list[str]) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
    )

    status, modules = json.loads(outcome.stderr)
    assert status == 0
    assert outcome.stdout
    assert HEAVY & set(modules) == set()
