"""Which kind of plan a JSON text is said to be."""

from __future__ import annotations

import pytest

from taskexec.sources.kinds import find_kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"tasks": {"a": "ls"}}', "workflow"),
        ('{"tasks": [{"id": "a"}], "lanes": {}}', "workflow"),
        ('{"defaults": {"cpus": 2}, "tasks": [{"id": "a"}]}', "workflow"),
        ('{"include": ["b.yaml"]}', "workflow"),
        ('{"tasks": [{"id": "a", "payload": {"lanes": 1, "tasks": {}}}]}', "plan"),
        ('{"source": "\\"lanes\\": {", "tasks": [{"id": "a"}]}', "plan"),
        ('{"queues": [{"name": "Q", "tasks": [{"id": "a"}]}]}', "plan"),
        ('{"version": 2}', "plan"),
        ("{", "plan"),
    ],
)
def test_json_is_a_workflow_when_a_key_at_its_top_says_so(text, kind):
    assert find_kind(text, ".json") == kind
