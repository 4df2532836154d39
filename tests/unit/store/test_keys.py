"""Keys and scripts: the names agree, and every script says what it is."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from taskexec.store.keys import RUN_KEYS, run_key, run_prefix, worker_key

SCRIPTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in resources.files("taskexec.store").joinpath("lua").iterdir()
    if path.name.endswith(".lua")
}
PRELUDE = "prelude.lua"
SHARED = {PRELUDE, "accounts.lua", "fit.lua", "placing.lua", "gangs.lua", "attempts.lua"}


def test_keys_of_a_run_are_those_of_the_scripts() -> None:
    table = re.search(r"local NAMES = \{(.*?)\}", SCRIPTS[PRELUDE], re.DOTALL)

    assert table is not None
    assert set(re.findall(r"'([\w:]+)'", table[1])) == RUN_KEYS


def test_scripts_use_only_keys_of_the_table() -> None:
    used = {name for source in SCRIPTS.values() for name in re.findall(r"\bK\.(\w+)", source)}

    assert used <= RUN_KEYS


def test_keys_of_a_run_share_a_hash_tag() -> None:
    assert run_key("r1", "state") == "tek:{r1}:state"
    assert run_key("r1", "state").startswith(run_prefix("r1") + ":")
    assert worker_key("w@host") == "tek:worker:w@host"


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_script_begins_with_what_it_does(name: str) -> None:
    header = SCRIPTS[name].split("\nlocal ", 1)[0]

    assert header.startswith("-- ")


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - SHARED))
def test_script_says_why_it_is_atomic_what_it_takes_and_what_it_returns(name: str) -> None:
    header = "".join(line for line in SCRIPTS[name].splitlines() if line.startswith("-- "))

    assert re.search(r"\batomic\b", header, re.IGNORECASE)
    assert "ARGV" in header
    assert "Returns" in header
    assert "repeated" in header
