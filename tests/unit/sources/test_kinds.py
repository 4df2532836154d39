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


REDMINE = '#,Project,Tracker,Status,Subject,Description\n12,P,Bug,New,A,"todo:\n- [ ] one\n- [x] two"\n'
WORKFLOW_WITH_BOXES = "tasks:\n  a:\n    command: |\n      cat <<END\n  - [ ] x\n"


@pytest.mark.parametrize("suffix", [".csv", ".txt", ""])
@pytest.mark.parametrize("text", [REDMINE, "# exported\n" + REDMINE])
def test_boxes_in_the_cells_of_a_table_make_no_state_of_truth(text, suffix):
    assert find_kind(text, suffix) == "csv"


@pytest.mark.parametrize("suffix", [".yaml", ".txt", ""])
def test_boxes_in_the_texts_of_a_workflow_make_no_state_of_truth(suffix):
    assert find_kind(WORKFLOW_WITH_BOXES, suffix) == "workflow"


def test_table_within_a_state_of_truth_makes_it_no_table():
    assert find_kind("# Plan\n\n| Name | Owner |\n|---|---|\n\n- [ ] A\n", ".md") == "sot"
