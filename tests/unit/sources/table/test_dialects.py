"""What planners, trackers and schedulers export is read as it is, or says what to change."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from taskexec.domain.resources import Route
from taskexec.errors import Place, PlanRejected, UsageError
from taskexec.plan import build_plan
from taskexec.sources import parse_columns, read_csv, read_plan

WORKLOADS = Path(__file__).resolve().parents[5] / "shared" / "workloads"

DIALECTS = WORKLOADS / "dialects"


def plan_of(text, **options):
    return build_plan(read_csv(text, "p.csv", **options))


def codes_of(text, **options):
    try:
        plan_of(text, **options)
    except PlanRejected as error:
        return [fault.code for fault in error.faults()]
    return []


def edges_of(plan):
    return {task.id: task.depends_on for task in plan.tasks}


def task_of(header, row):
    return plan_of(f"id,{header}\na,{row}\n").tasks[0]


# What the table looks like


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_by_looking(delimiter):
    rows = [["id", "title", "depends on"], ["a", "x, y; z", ""], ["b", "t", "a"]]
    text = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows)

    plan = plan_of(text)

    assert (edges_of(plan), plan.tasks[0].title) == ({"a": (), "b": ("a",)}, "x, y; z")


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_separator_line_of_excel_wins(line):
    assert plan_of(f"{line}\r\nid;title\r\na;x\r\n").tasks[0].title == "x"


def test_comments_and_blank_lines_above_the_header_are_skipped_and_lines_count():
    draft = read_csv("# made by hand\n\n  # twice\nid,cpus\na,x\n", "p.csv")

    assert draft.faults[0].places == (Place("p.csv", 5, 3),)


def test_header_whose_first_column_is_a_number_sign_is_no_comment():
    assert edges_of(plan_of("#,Task Name,Predecessors\n1,A,\n2,B,1\n")) == {"1": (), "2": ("1",)}


def test_rows_above_the_header_are_left_out_with_a_warning():
    plan = plan_of("Project X,,\n,,\nID,Task Name,Predecessors\n1,A,\n2,B,1\n")

    assert len(plan.tasks) == 2
    assert [(fault.code, fault.places[0].line) for fault in plan.warnings] == [("csv.above_header", 1)]


def test_first_row_without_known_names_is_refused_with_its_place():
    draft = read_csv("# comment\nsetup,2,\nrun,3,setup\n", "p.csv")

    assert [(fault.code, fault.places[0].line) for fault in draft.faults] == [("csv.header", 2)]
    assert draft.tasks == []


def test_header_that_stands_twice_is_refused_at_the_second():
    draft = read_csv("id,title\na,x\nID , Title\nb,y\n", "p.csv")

    assert [(fault.code, fault.places[0].line) for fault in draft.faults] == [("csv.second_header", 3)]


def test_blank_cells_behind_the_last_column_are_a_warning():
    plan = plan_of("id,title\na,x,,\n")

    assert [fault.code for fault in plan.warnings] == ["csv.blank_cells"]


def test_stray_quotes_stand_for_themselves_with_a_warning():
    plan = plan_of('id,command\na,echo "x y"\n')

    assert plan.tasks[0].payload["commands"][0]["argv"] == ["echo", "x y"]
    assert [(fault.code, fault.places[0].column) for fault in plan.warnings] == [("csv.stray_quote", 3)]


# Names of columns


@pytest.mark.parametrize(
    "name", ["Depends On", "depends_on", "DEPENDS-ON", "dependsOn", "Predecessors", "Blocked By", "Vorgänger"]
)
def test_names_of_columns_match_without_case_and_punctuation(name):
    assert edges_of(plan_of(f"id,{name}\na,\nb,a\n"))["b"] == ("a",)


@pytest.mark.parametrize("name", ["Vorga\u0308nger", "VORGÄNGER"])
def test_names_of_columns_match_in_any_unicode_form(name):
    assert edges_of(plan_of(f"Nr.;{name}\n1;\n2;1\n"))["2"] == ("1",)


def test_likelier_name_of_a_column_wins_and_the_other_is_metadata():
    task = plan_of("Issue id,Issue key,Summary\n7,OPS-1,x\n").tasks[0]

    assert (task.id, task.title, task.metadata) == ("OPS-1", "x", {"Issue id": "7"})


def test_summary_is_the_title_unless_there_is_a_better_one():
    assert plan_of("key,summary\na,Text\n").tasks[0].title == "Text"
    assert [task.id for task in plan_of("id,task name,summary\na,A,Yes\nb,B,No\n").tasks] == ["b"]


def test_own_names_of_columns_win():
    columns = parse_columns(["id=Ref,depends_on=After", "depends_on=Then"])

    plan = plan_of("Ref,id,After,Then\na,1,,\nb,2,a,\nc,3,a,b\n", columns=columns)

    assert edges_of(plan) == {"a": (), "b": ("a",), "c": ("a", "b")}
    assert plan.tasks[0].metadata == {"id": "1"}


def test_own_name_that_no_column_has_is_a_fault_with_the_nearest():
    draft = read_csv("Ref,title\na,x\n", "p.csv", columns={"id": ("Reff",)})

    assert draft.faults[-1].code == "csv.columns"
    assert "Ref" in str(draft.faults[-1].hint)


@pytest.mark.parametrize("text", ["id", "id=", "=x", "ident=Ref"])
def test_own_names_of_another_form_are_refused(text):
    with pytest.raises(UsageError):
        parse_columns([text])


def test_column_marked_as_metadata_is_kept_whatever_it_is_called():
    task = plan_of("id,meta:cpus,meta:Owner\na,many,Ann\n").tasks[0]

    assert (task.metadata, task.needs.cpus) == ({"cpus": "many", "Owner": "Ann"}, 1.0)


# Dependencies


@pytest.mark.parametrize("cell", ["a;b", "a|b", "a|;b", '"a,b"', '"a, b"', "a; b ;", '"a\nb"', '"[""a"", ""b""]"'])
def test_lists_have_many_separators(cell):
    assert edges_of(plan_of(f"id,depends_on\na,\nb,\nc,{cell}\n"))["c"] == ("a", "b")


@pytest.mark.parametrize("cell", ["", "-", "—", "none", "None", "n/a"])
def test_words_for_nothing_are_no_dependency(cell):
    assert edges_of(plan_of(f"id,depends_on\na,{cell}\n"))["a"] == ()


def test_word_for_nothing_that_is_an_id_is_one():
    assert edges_of(plan_of("id,depends_on\nnone,\nb,none\n"))["b"] == ("none",)


def test_id_with_a_comma_is_found_whole():
    assert edges_of(plan_of('id,depends_on\n"x, y",\nb,"x, y"\n'))["b"] == ("x, y",)


def test_repeated_columns_and_their_inverse_are_united():
    plan = plan_of("id,blocks,blocked by,blocked by\na,c,,\nb,,,\nc,,a,b\n")

    assert set(edges_of(plan)["c"]) == {"a", "b"}
    assert plan.graph.edge_count == 2


def test_inverse_link_to_no_task_is_a_fault_with_the_nearest():
    draft = read_csv("id,blocks\nalpha,betta\nbeta,\n", "p.csv")

    assert [(fault.code, fault.places[0]) for fault in draft.faults] == [
        ("plan.unknown_dependency", Place("p.csv", 2, 7))
    ]
    assert "`beta`" in str(draft.faults[0].hint)


@pytest.mark.parametrize("link", ["1FS", "1 fs", "1EA", "1FS+2 days", "1EA+0,5 Tage", "1FS-1d", "1FS+50%", "1+2 days"])
def test_finish_to_start_links_are_edges_and_lags_are_warned_of(link):
    plan = plan_of(f'id,predecessors\n1,\n2,"{link}"\n')

    assert edges_of(plan)["2"] == ("1",)
    assert [fault.code for fault in plan.warnings] == (["csv.lag"] if set("+-") & set(link) else [])


@pytest.mark.parametrize("link", ["1SS", "1FF+2 days", "1SF", "1AA", "1EE", "1AE"])
def test_other_links_are_refused_with_the_reason(link):
    draft = read_csv(f"id,predecessors\n1,\n2,{link}\n", "p.csv")

    assert [(fault.code, fault.places[0]) for fault in draft.faults] == [("csv.link", Place("p.csv", 3, 3))]


def test_id_that_looks_like_a_link_is_an_id():
    assert edges_of(plan_of("id,predecessors\n1,\n1SS,\n2,1SS\n"))["2"] == ("1SS",)


def test_ids_are_texts():
    assert edges_of(plan_of('id,depends_on\n2.1,\n2.10,\n3,"2.1,2.10"\n'))["3"] == ("2.1", "2.10")


# Rows that are no tasks, and rows without ids


def test_summary_rows_are_left_out_and_stand_for_what_they_sum_up():
    plan = plan_of("ID,Name,Predecessors,Outline Level\n1,Phase,5,1\n2,A,,2\n3,B,2,2\n4,After,1,1\n5,Before,,1\n")

    assert edges_of(plan) == {"2": ("5",), "3": ("2", "5"), "4": ("2", "3"), "5": ()}
    assert plan.reading.left_out == ["1 summary row"]


def test_predecessors_of_a_summary_row_without_outline_are_a_fault():
    assert codes_of("ID,Task Name,Predecessors,Summary\n1,A,,No\n2,Phase,1,Yes\n3,B,,No\n") == ["csv.summary"]


def test_milestone_without_duration_lasts_no_time():
    assert plan_of("ID,Task Name,Milestone\n1,A,Yes\n2,B,No\n").tasks[0].duration_s == 0


def test_steps_of_slurm_jobs_are_no_tasks():
    plan = plan_of("JobID|JobName\n41|a\n41.batch|batch\n41.0|x\n42_7.extern|y\n")

    assert [task.id for task in plan.tasks] == ["41"]
    assert plan.reading.left_out == ["3 steps of jobs"]


def test_table_without_ids_is_refused_unless_rows_are_numbered():
    text = "Title,Dependencies\nFirst,\nSecond,First\n"

    assert codes_of(text) == ["csv.no_id"]
    assert edges_of(plan_of(text, use_row_ids=True)) == {"1": (), "2": ("1",)}


def test_predecessors_that_are_row_numbers_make_them_ids():
    assert edges_of(plan_of("Name,Predecessors\nA,\n\nB,1\nC,1;2FS\n")) == {"1": (), "2": ("1",), "3": ("1", "2")}


def test_numbered_rows_keep_what_was_their_id():
    plan = plan_of("code,depends_on\nx,\ny,x\n", use_row_ids=True)

    assert (edges_of(plan)["2"], plan.tasks[1].metadata) == (("1",), {"code": "y"})


# Values


@pytest.mark.parametrize(
    ("header", "text", "seconds"),
    [
        ("duration", "90", 90),
        ("duration_s", "90", 90),
        ("Duration (Days)", "1.5", 129_600),
        ("duration [h]", "2", 7_200),
        ("duration", "90s", 90),
        ("duration", "2h", 7_200),
        ("duration", "1-02:03:04", 93_784),
        ("duration", "3 days", 259_200),
        ("duration", "2 wks", 1_209_600),
        ("Dauer", '"0,5 Tage"', 43_200),
        ("duration", "2 days?", 172_800),
        ("duration", "PT1H30M", 5_400),
        ("duration", "1w 2d", 777_600),
        ("Elapsed", "10:05", 605),
        ("Elapsed", "1-02", 93_600),
    ],
)
def test_durations_have_many_forms(header, text, seconds):
    assert task_of(header, text).duration_s == seconds


@pytest.mark.parametrize("text", ["1:30", "soon", "-5", "nan", "1 parsec", "--", "1e999", '"1,500"'])
def test_durations_that_may_mean_anything_are_refused(text):
    assert codes_of(f"id,duration\na,{text}\n") == ["csv.number"]


@pytest.mark.parametrize(
    ("header", "text", "mib"),
    [
        ("memory", "4G", 4096),
        ("memory", "512MiB", 512),
        ("ReqMem", "8000Mn", 8000),
        ("memory_mb", "512", 512),
        ("memory (GB)", "1.5", 1536),
        ("mem", '"1,5G"', 1536),
        ("memory", "1T", 2**20),
        ("memory", "1048576B", 1),
    ],
)
def test_memory_has_many_forms(header, text, mib):
    assert task_of(header, text).needs.memory_mib == mib


def test_memory_for_each_core_is_multiplied():
    assert plan_of("JobID|AllocCPUS|ReqMem\n1|4|2Gc\n").tasks[0].needs.memory_mib == 8192


def test_trackable_resources_of_slurm_fill_what_is_missing():
    needs = plan_of("JobID|AllocTRES\n1|billing=4,cpu=4,gres/gpu=2,mem=64G\n").tasks[0].needs

    assert (needs.cpus, needs.gpus, needs.memory_mib) == (4, 2, 65_536)


@pytest.mark.parametrize(
    ("text", "priority"),
    [("7", 7), ("P0", 9), ("p3", 0), ("High", 6), ("Must-have", 9), ("should have", 6), ("1 - Critical", 9), ("-", 0)],
)
def test_priorities_are_numbers_levels_or_words(text, priority):
    assert task_of("priority", text).priority == priority


@pytest.mark.parametrize("word", ["done", "Completed", "CLOSED", "resolved", "erledigt", "✓", "Done ✅"])
def test_done_tasks_are_satisfied(word):
    assert task_of("status", word).is_satisfied


def test_open_tasks_keep_their_status_as_metadata():
    task = task_of("State", "IN_PROGRESS")

    assert (task.is_satisfied, task.metadata) == (False, {"State": "IN_PROGRESS"})


def test_unknown_status_is_warned_of_once():
    plan = plan_of("id,status\na,odd\nb,odd\n")

    assert [fault.code for fault in plan.warnings] == ["csv.status"]


@pytest.mark.parametrize("word", ["Cancelled", "Won't Do", "CANCELLED by 1000"])
def test_task_that_was_given_up_is_not_run_and_warned_of(word):
    plan = plan_of(f"id,status\na,{word}\n")

    assert plan.tasks[0].is_satisfied
    assert [fault.code for fault in plan.warnings] == ["csv.abandoned"]


@pytest.mark.parametrize(("header", "text"), [("% Complete", "100%"), ("Completion %", "100"), ("done", "yes")])
def test_complete_tasks_are_satisfied(header, text):
    assert task_of(header, text).is_satisfied


def test_lists_of_words_and_of_sentences():
    task = plan_of(
        "id,labels,acceptance_criteria,requirements\na,ci;docker|x,One, two.|;Three.,R1;R2\n".replace(
            "One, two.|;Three.", '"One, two.|;Three."'
        )
    ).tasks[0]

    assert task.labels == ("ci", "docker", "x")
    assert task.acceptance_criteria == ("One, two.", "Three.")
    assert task.requirements == ("R1", "R2")


def test_queue_is_a_route_or_a_lane():
    plan = plan_of("JobID|Partition\n1|gpu\n2|batch\n")

    assert [(task.route, task.lane) for task in plan.tasks] == [(Route.GPU, None), (Route.CPU, "batch")]


def test_payload_is_taken_as_it_is():
    assert task_of("agent,payload", 'mine,"{""x"": [1]}"').payload == {"x": [1]}


@pytest.mark.parametrize("cell", ["[1]", "{", '"{""a"": 1"'])
def test_payload_that_is_no_object_is_a_fault(cell):
    assert codes_of(f"id,payload\na,{cell}\n") == ["csv.payload"]


# Files that are there


@pytest.mark.skipif(not DIALECTS.exists(), reason="the workloads are not there")
def test_samples_have_the_counts_that_their_notes_state():
    text = (DIALECTS / "EXPECTATIONS.csv").read_text(encoding="utf-8")
    expected = {row["file"]: row for row in csv.DictReader(text.splitlines())}
    counts = {}
    for name in expected:
        try:
            plan = build_plan(read_plan(DIALECTS / name))
        except PlanRejected as error:
            counts[name] = error.faults()[0].code
        else:
            counts[name] = (len(plan.tasks), plan.graph.edge_count)

    stated = {name: (int(row["tasks"]), int(row["edges"])) for name, row in expected.items()}
    assert counts == stated | {"msproject_en.csv": (4, 5), "no_header.csv": "csv.header"}


def test_tasks_may_be_named_by_their_titles_with_one_warning():
    plan = plan_of('Task ID,Name,Blocked By (Dependencies)\n1,Setup,\n2,Build,Setup\n3,Test,"Setup, Build"\n')

    assert edges_of(plan) == {"1": (), "2": ("1",), "3": ("1", "2")}
    assert [(fault.code, len(fault.places)) for fault in plan.warnings] == [("csv.by_title", 3)]


def test_title_that_stands_twice_names_no_task():
    assert codes_of("id,title,depends_on\n1,A,\n2,A,\n3,B,A\n") == ["plan.unknown_dependency"]


def test_task_with_a_time_of_completion_is_satisfied():
    plan = plan_of("Task ID,Name,Completed At\n1,A,2026-01-05\n2,B,\n")

    assert [task.is_satisfied for task in plan.tasks] == [True, False]
    assert plan.tasks[0].metadata == {"Completed At": "2026-01-05"}


# What must not be misread in silence


@pytest.mark.parametrize("cell", ["Unresolved", "No", "false", "0", "TBD", "0000-00-00"])
def test_time_of_completion_that_is_none_leaves_a_task_open(cell):
    assert not task_of("Resolved", cell).is_satisfied


@pytest.mark.parametrize(("header", "cell"), [("Resolved", "2026-01-05"), ("% complete", "100%")])
def test_open_status_wins_over_what_says_done_with_a_warning(header, cell):
    plan = plan_of(f"id,status,{header}\na,In Progress,{cell}\n")

    assert (plan.tasks[0].is_satisfied, [fault.code for fault in plan.warnings]) == (False, ["csv.status"])


@pytest.mark.parametrize("word", ["50% complete", "0% done", "2/5 done", "Done?", "Complete 3/10"])
def test_status_that_is_nearly_done_is_open_with_a_warning(word):
    plan = plan_of(f"id,status\na,{word}\n")

    assert (plan.tasks[0].is_satisfied, [fault.code for fault in plan.warnings]) == (False, ["csv.status"])


def test_progress_of_one_may_mean_anything_and_is_open_with_a_warning():
    plan = plan_of("id,% complete\na,1\nb,0.5\n")

    assert (plan.tasks[0].is_satisfied, [fault.code for fault in plan.warnings]) == (False, ["csv.status"])


@pytest.mark.parametrize(("header", "cell"), [("Active", "No"), ("Archived", "true")])
def test_row_that_is_switched_off_is_not_run_with_a_warning(header, cell):
    plan = plan_of(f"id,{header}\na,{cell}\nb,\n")

    assert [task.is_satisfied for task in plan.tasks] == [True, False]
    assert [fault.code for fault in plan.warnings] == ["csv.abandoned"]


def test_row_of_data_is_never_taken_for_the_header():
    draft = read_csv("Référence,Sorte,Etat?\nR1,Task,Open\nR3,Story,Summary\n", "p.csv")

    assert [fault.code for fault in draft.faults] == ["csv.header"]


def test_own_names_make_a_header():
    columns = {"id": ("Référence",), "depends_on": ("Suit",)}

    assert edges_of(plan_of("Référence,Suit\nR1,\nR2,R1\n", columns=columns))["R2"] == ("R1",)


def test_predecessors_by_row_and_ids_by_outline_do_not_mix():
    text = "WBS,Task Name,Predecessors\n1,P1,\n1.1,Design,\n1.2,Build,2\n"

    assert codes_of(text)[0] == "csv.outline_ids"
    assert edges_of(plan_of(text, use_row_ids=True))["3"] == ("2",)


def test_task_that_depends_on_its_own_summary_row_is_refused():
    assert "csv.summary" in codes_of("ID,Name,Predecessors,Outline Level\n1,Phase,,1\n2,A,1,2\n3,B,,2\n")


def test_summary_row_with_a_command_is_refused():
    assert codes_of("ID,Name,command,Outline Level\n1,P,echo,1\n2,A,true,2\n") == ["csv.summary"]


def test_blank_rows_count_where_rows_are_named_by_their_numbers():
    plan = plan_of("Task Name,Predecessors\nA,\n,\nB,1\nC,3\n")

    assert edges_of(plan) == {"1": (), "3": ("1",), "4": ("3",)}


def test_number_that_is_a_row_and_was_an_id_is_refused():
    assert "csv.ambiguous" in codes_of("ID,Name,Predecessors\n10,a,\n1,b,10\n2,c,1\n", use_row_ids=True)


def test_titles_in_a_column_called_task_are_no_ids_when_rows_are_named_by_numbers():
    plan = plan_of("Task,Duration,Predecessors\nDesign,1d,\nBuild,1d,1\n")

    assert edges_of(plan) == {"1": (), "2": ("1",)}
    assert [task.title for task in plan.tasks] == ["Design", "Build"]


def test_row_that_is_commented_out_is_left_out_with_a_warning():
    plan = plan_of("id,command\nbuild,echo hi\n# test,rm -rf x\n")

    assert [task.id for task in plan.tasks] == ["build"]
    assert [fault.code for fault in plan.warnings] == ["csv.comment"]


def test_table_of_markdown_is_read_without_its_rule():
    plan = plan_of("| id | title | depends on |\n|:---|---|---|\n| a | A |  |\n| b | B | a |\n")

    assert edges_of(plan) == {"a": (), "b": ("a",)}


def test_milestone_of_a_tracker_is_metadata():
    task = task_of("Milestone", "v1.0")

    assert (task.duration_s, task.metadata) == (None, {"Milestone": "v1.0"})


def test_summary_with_texts_is_metadata():
    plan = plan_of("id,title,summary\na,x,Long text\nb,y,yes\n")

    assert [task.metadata for task in plan.tasks] == [{"summary": "Long text"}, {"summary": "yes"}]


def test_point_may_part_thousands_where_commas_part_decimals():
    assert codes_of("id;duration\na;1,5 d\nb;1.500 d\n") == ["csv.number"]


@pytest.mark.parametrize("cell", ["[x, y]", "['x', 'y']", '"[""x"", ""y""]"'])
def test_labels_may_stand_in_brackets(cell):
    cell = cell if cell.startswith('"') else f'"{cell}"'

    assert task_of("labels", cell).labels == ("x", "y")


def test_quoted_cell_over_lines_that_look_like_rows_is_warned_of():
    plan = plan_of('id,title,cpus,queue\na,"x,1,cpu\nb,y,1,cpu\nc,z",1,cpu\n')

    assert [fault.code for fault in plan.warnings] == ["csv.hidden_rows"]


def test_column_that_holds_the_word_of_a_missing_field_is_warned_of():
    plan = plan_of("id,All Dependencies Of It\na,\nb,a\n")

    assert [fault.code for fault in plan.warnings] == ["csv.unknown_column"]


@pytest.mark.parametrize("cell", ["UNLIMITED", "Partition_Limit"])
def test_no_time_limit_is_none(cell):
    assert plan_of(f"JobID|TimeLimit\n1|{cell}\n").tasks[0].timeout_s is None


def test_time_limit_is_a_clock_of_slurm():
    assert plan_of("JOBID|TIME_LIMIT\n1|30:00\n").tasks[0].timeout_s == 1800
