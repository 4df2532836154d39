"""Tests of `tek schema`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

Tek = Callable[..., Result]
NAMES = ["plan", "workflow", "hooks", "manifest", "events", "cluster"]


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_printed_whatever_the_form(name: str, call_tek: Tek) -> None:
    printed = [call_tek("schema", name, "--output", form).stdout for form in ("table", "json", "quiet")]

    assert printed[0] == printed[1] == printed[2]
    assert json.loads(printed[0])["$id"].startswith(f"urn:taskexec:schema:{name}:")


def test_list_names_version_and_id(call_tek: Tek) -> None:
    listed = json.loads(call_tek("schema", "--output", "json").stdout)["schemas"]

    assert [entry["name"] for entry in listed] == NAMES
    assert (listed[0]["version"], listed[0]["id"]) == (2, "urn:taskexec:schema:plan:2")
    assert call_tek("schema", "--output", "quiet").stdout.split() == NAMES
    assert all(name in call_tek("schema").stdout for name in NAMES)


def test_unknown_name_is_a_usage_error(call_tek: Tek) -> None:
    outcome = call_tek("schema", "plans")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "`plans`" in outcome.stderr
