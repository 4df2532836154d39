"""What the CSV reader makes of rows, cells and their faults."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.domain.resources import Route
from taskexec.errors import Place
from taskexec.plan.draft import PlanDraft
from taskexec.sources import read_csv
from taskexec.sources.text_places import TextPlaces


def codes(draft: PlanDraft) -> list[str]:
    return [fault.code for fault in draft.faults]


def lines(draft: PlanDraft) -> list[int]:
    return [fault.places[0].line for fault in draft.faults]


def test_every_known_column_fills_its_field():
    header = "id,title,command,depends_on,queue,cpus,memory_mb,gpus,duration_s,priority,timeout_s,retries,layer"
    draft = read_csv(f"{header}\na,A,true,b;c,gpu,1.5,512,1,2.5,7,30,2,base\n", "p.csv")

    task = draft.tasks[0]
    assert draft.faults == []
    assert (task.id.value, task.title.value, task.layer.value) == ("a", "A", "base")
    assert [dependency.value for dependency in task.depends_on] == ["b", "c"]
    assert task.payload == {"commands": [{"argv": ["true"]}]}
    assert (task.route.value, task.lane) == (Route.GPU, None)
    assert (task.cpus.value, task.memory_mib.value, task.gpus.value) == (1.5, 512, 1.0)
    assert (task.duration_s.value, task.timeout_s.value) == (2.5, 30.0)
    assert (task.retries.value, task.priority.value) == (2, 7)


def test_empty_cells_say_nothing():
    draft = read_csv("id,title,command,queue,cpus,priority,note\na,,, ,,,\n", "p.csv")

    task = draft.tasks[0]
    assert draft.faults == []
    assert (task.title, task.agent, task.lane, task.route, task.cpus, task.priority) == (None,) * 6
    assert (task.payload, task.metadata) == ({}, {})


def test_header_is_matched_without_case_blanks_and_byte_order_mark():
    draft = read_csv("\ufeff Title , ID\nx,a\n", "p.csv")

    assert draft.tasks[0].id.value == "a"
    assert draft.tasks[0].id.place == Place("p.csv", 2, 3)


def test_unknown_columns_are_kept_as_metadata():
    draft = read_csv("id,Owner,,Owner\na,Ann,x,Ben\n", "p.csv")

    assert draft.tasks[0].metadata == {"Owner": "Ann;Ben", "column_3": "x"}


def test_misspelt_column_is_warned_of():
    draft = read_csv("id,depend_on\na,b\n", "p.csv")

    assert [warning.code for warning in draft.warnings] == ["csv.unknown_column"]
    assert draft.warnings[0].places == (Place("p.csv", 1, 4),)


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff"])
def test_empty_file_is_a_fault(text):
    assert codes(read_csv(text, "p.csv")) == ["csv.empty"]


def test_header_without_id_is_a_fault():
    assert codes(read_csv("name,title\na,b\n", "p.csv")) == ["csv.no_id"]


def test_duplicate_known_column_is_a_fault_at_both_places():
    draft = read_csv("id,title,Title\n", "p.csv")

    assert codes(draft) == ["csv.header"]
    assert draft.faults[0].places == (Place("p.csv", 1, 4), Place("p.csv", 1, 10))


def test_quoted_line_break_keeps_physical_line_numbers():
    draft = read_csv('id,title,cpus\na,"one\r\ntwo\nthree",1\nb,x,many\n', "p.csv")

    assert draft.tasks[0].title.value == "one\r\ntwo\nthree"
    assert draft.tasks[0].cpus.place == Place("p.csv", 4, 8)
    assert draft.faults[0].places == (Place("p.csv", 5, 5),)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_each_line_break_ends_a_row(line_break):
    draft = read_csv(line_break.join(["id", "a", "", "b"]), "p.csv")

    assert [task.id.value for task in draft.tasks] == ["a", "b"]
    assert draft.tasks[1].id.place.line == 4


def test_rows_of_blank_cells_are_skipped():
    draft = read_csv("id,title\n , \n,,,\na,A\n", "p.csv")

    assert (draft.faults, len(draft.tasks)) == ([], 1)


def test_each_dependency_has_its_own_column():
    draft = read_csv("id,depends_on\na,b; c;;d\n", "p.csv")

    assert [(name.value, name.place.column) for name in draft.tasks[0].depends_on] == [
        ("b", 3),
        ("c", 6),
        ("d", 9),
    ]


def test_dependency_in_a_quoted_cell_is_located_behind_quotes_and_line_breaks():
    draft = read_csv('id,depends_on\na,"q""x;b;\r\n c;d"\n', "p.csv")

    assert [(name.value, name.place.line, name.place.column) for name in draft.tasks[0].depends_on] == [
        ('q"x', 2, 4),
        ("b", 2, 9),
        ("c", 3, 2),
        ("d", 3, 4),
    ]


def test_blanks_around_a_quoted_cell_do_not_count():
    draft = read_csv('id,title,cpus\na, "x, y" ,1\n', "p.csv")

    assert (draft.faults, draft.tasks[0].title.value) == ([], "x, y")


def test_quote_inside_an_unquoted_cell_stands_for_itself():
    draft = read_csv('id,command\na,echo "hi"\n', "p.csv")

    assert draft.tasks[0].payload == {"commands": [{"argv": ["echo", "hi"]}]}


@pytest.mark.parametrize("cell", ['"never closed', '"x"y'])
def test_wrong_quote_is_one_fault_and_later_rows_are_read(cell):
    draft = read_csv(f"id,title\na,{cell}\nb,B\n", "p.csv")

    assert codes(draft) == ["csv.quote"]
    assert draft.faults[0].places == (Place("p.csv", 2, 3),)
    assert [task.id.value for task in draft.tasks] == ["a", "b"]


def test_unclosed_quote_does_not_pair_with_the_quote_of_a_later_row():
    draft = read_csv('id,title\na,"oops\nb,B\nc,"fine"\n', "p.csv")

    assert codes(draft) == ["csv.quote"]
    assert [task.id.value for task in draft.tasks] == ["a", "b", "c"]


@pytest.mark.parametrize("row", ["a", "a,A,extra"])
def test_ragged_row_is_one_fault_and_its_id_is_kept(row):
    draft = read_csv(f"id,title\n{row}\n", "p.csv")

    assert codes(draft) == ["csv.ragged"]
    assert [task.id.value for task in draft.tasks] == ["a"]


def test_all_faults_of_a_file_are_reported_at_once():
    rows = ["id,cpus,retries,command,agent", "a,x,-1,'open,", "b", "c,1,1,,shell", "d,1e999,1.5,true,"]
    draft = read_csv("\n".join(rows), "p.csv")

    assert sorted(zip(lines(draft), codes(draft), strict=True)) == [
        (2, "csv.command"),
        (2, "csv.number"),
        (2, "csv.number"),
        (3, "csv.ragged"),
        (4, "csv.command"),
        (5, "csv.number"),
        (5, "csv.number"),
    ]
    assert len(draft.tasks) == 4


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cpus", "-1"),
        ("cpus", "nan"),
        ("cpus", "inf"),
        ("cpus", "1_0"),
        ("cpus", "١"),
        ("memory_mb", "1.5"),
        ("memory_mb", "4 apples"),
        ("memory_mb", "-1"),
        ("timeout_s", "0"),
        ("retries", "-1"),
        ("priority", "whenever"),
        ("priority", "9" * 5000),
    ],
)
def test_wrong_number_is_a_fault_at_its_cell(column, value):
    draft = read_csv(f"id,{column}\na,{value}\n", "p.csv")

    assert codes(draft) == ["csv.number"]
    assert draft.faults[0].places == (Place("p.csv", 2, 3),)


@pytest.mark.parametrize(
    ("text", "mib"),
    [("0", 0), ("512", 512), ("4G", 4096), ("4Gi", 4096), ("1.5 gb", 1536), ("64M", 64), ("1K", 1)],
)
def test_memory_is_mib_or_has_a_unit(text, mib):
    assert read_csv(f"id,memory_mb\na,{text}\n", "p.csv").tasks[0].memory_mib.value == mib


def test_queue_names_a_route_or_else_a_lane():
    draft = read_csv("id,queue\na,GPU\nb,gpus\nc,Queue A — X\n", "p.csv")

    assert draft.tasks[0].route.value is Route.GPU
    assert [task.lane and task.lane.value for task in draft.tasks] == [None, "gpus", "Queue A — X"]


def test_lane_column_wins_over_the_name_of_a_queue():
    draft = read_csv("id,queue,lane\na,x,y\nb,cpu,y\n", "p.csv")

    assert [task.lane.value for task in draft.tasks] == ["y", "y"]
    assert [warning.code for warning in draft.warnings] == ["csv.lane"]


def test_command_of_a_python_task_is_a_call():
    draft = read_csv('id,agent,command\na,python,"m:f {""n"": 3}"\n', "p.csv")

    assert draft.tasks[0].payload == {"call": "m:f", "args": [], "kwargs": {"n": 3}}


@pytest.mark.parametrize("command", ["m.f", "m:f {", "m:f {}x", "m:f " + "[" * 100_000, 'm:f {"a": NaN}'])
def test_command_of_a_python_task_that_is_no_call_is_a_fault(command):
    quoted = command.replace('"', '""')
    assert codes(read_csv(f'id,agent,command\na,python,"{quoted}"\n', "p.csv")) == ["csv.command"]


def test_command_of_another_agent_is_passed_on_as_text():
    draft = read_csv("id,agent,command\na,http,GET 'x\n", "p.csv")

    assert (draft.faults, draft.tasks[0].payload) == ([], {"command": "GET 'x"})


@pytest.mark.parametrize("agent", ["shell", "python"])
def test_agent_that_needs_a_command_is_a_fault_without_one(agent):
    draft = read_csv(f"id,agent,command\na,{agent},\n", "p.csv")

    assert codes(draft) == ["csv.command"]
    assert draft.faults[0].places == (Place("p.csv", 2, 3),)


def test_row_without_id_is_a_task_with_an_empty_id():
    draft = read_csv("id,title\n,x\n", "p.csv")

    assert (draft.faults, draft.tasks[0].id.value) == ([], "")


@pytest.mark.parametrize("row", ["a\0,x", "a\x07,x", "a,x\0", "a,\ud800"])
def test_characters_that_no_text_holds_are_a_fault(row):
    draft = read_csv(f"id,title\n{row}\n", "p.csv")

    assert codes(draft) == ["csv.character"]
    assert len(draft.tasks) == 1


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(str.strip)
IDS = NAMES.filter(bool)
DEPENDENCIES = st.lists(st.text("abé._ ü+", min_size=1, max_size=8).map(str.strip).filter(bool), max_size=4)
TITLES = st.text(st.sampled_from('ab,;"\n\r \u2028é'), max_size=10).map(
    lambda text: text.strip() and "¶" + text.strip()
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(IDS, TITLES, DEPENDENCIES), max_size=6), st.sampled_from(["", "\n", "\r\n", "\r"]))
def test_what_a_csv_writer_wrote_is_read_back(rows, line_break):
    buffer = io.StringIO(newline="")
    # with any but the default line break, csv.writer leaves some line breaks in cells unquoted
    quoting = csv.QUOTE_ALL if line_break else csv.QUOTE_MINIMAL
    writer = csv.writer(buffer, lineterminator=line_break or "\r\n", quoting=quoting)
    writer.writerow(["id", "title", "depends_on"])
    writer.writerows([name, title, ";".join(dependencies)] for name, title, dependencies in rows)

    draft = read_csv(buffer.getvalue(), "p.csv")

    read = [
        (task.id.value, task.title.value if task.title else "", [name.value for name in task.depends_on])
        for task in draft.tasks
    ]
    assert (draft.faults, read) == ([], rows)


TEXTS = st.text(st.sampled_from('id,"\n\r; a\0\t\x07é') | st.characters(), max_size=80)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["", "id\n", "id,title,depends_on\n", "command,id,agent,cpus\n"]), TEXTS)
def test_any_text_gives_a_draft_whose_places_are_inside_it(header, text):
    whole = header + text

    draft = read_csv(whole, "p.csv")

    places = [place for fault in [*draft.faults, *draft.warnings] for place in fault.places]
    for task in draft.tasks:
        places += [task.id.place, *(name.place for name in task.depends_on)]
    ends = TextPlaces(whole.removeprefix("\ufeff"), "p.csv").lines()
    for place in places:
        start, end = ends[max(place.line, 1) - 1]
        assert 0 <= place.column <= end - start + 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(IDS, TITLES, DEPENDENCIES), min_size=1, max_size=4))
def test_dependencies_of_unescaped_cells_stand_where_their_place_says(rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["id", "title", "depends_on"], *([a, b, ";".join(names)] for a, b, names in rows)])
    text = buffer.getvalue()

    draft = read_csv(text, "p.csv")

    starts = [start for start, _ in TextPlaces(text, "p.csv").lines()]
    for task in draft.tasks:
        for name in task.depends_on:
            offset = starts[name.place.line - 1] + name.place.column - 1
            assert text[offset:].startswith(name.value.replace('"', '""')) or text[offset] == name.value[0]


@pytest.mark.parametrize("piece", ['"', '"\n', '"a\n', '"",', '""\n', '"x;\ny;"\n', '"a"";', ",", ";"])
def test_hostile_text_is_read_in_time_that_grows_with_its_length(piece):
    begun_at = time.process_time()

    read_csv("depends_on,id\n" + piece * 20_000, "p.csv")

    assert time.process_time() - begun_at < 5


def test_many_dependencies_in_quotes_are_read_in_time_that_grows_with_their_number():
    names = [f'task ""{number}""' for number in range(20_000)]
    begun_at = time.process_time()

    draft = read_csv('id,depends_on\na,"' + ";\n".join(names) + '"\n', "p.csv")

    assert draft.tasks[0].depends_on[-1].place == Place("p.csv", 20_001, 1)
    assert time.process_time() - begun_at < 5
