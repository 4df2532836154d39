"""Every command explains itself."""

from __future__ import annotations

import pytest
from support.tek import Tek

from taskexec.cli.main import COMMANDS


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)], ids=lambda words: "-".join(words) or "tek")
def test_help_exits_with_0(tek: Tek, arguments: tuple[str, ...]) -> None:
    outcome = tek(*arguments, "--help").expect(0)

    assert outcome.stdout.startswith("Usage: tek")
    assert outcome.stderr == ""
