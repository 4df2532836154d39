from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.browser import Window, window
from support.live import LiveCluster, Task
from support.serving import ServedApi

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = "<img src=x onerror=\"document.body.dataset.hurt='yes'\">"
Gate = Callable[[str], Path]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Names files that tasks wait for; all are opened at the end, so that none waits for ever."""
    named: list[Path] = []

    def name(of: str) -> Path:
        named.append(tmp_path / of)
        return named[-1]

    yield name
    for path in named:
        path.touch()


def waiting_for(path: Path) -> str:
    return f"while [ ! -e {path} ]; do sleep 0.02; done"


def failing_plan() -> list[Task]:
    return [
        {"id": "prepare", "title": "Prepare the ground", "lane": "first", "command": "echo ready"},
        {"id": "break", "lane": "second", "depends_on": "prepare", "command": "echo oh no >&2; exit 3"},
        {"id": "after", "lane": "second", "depends_on": "break", "command": "true"},
        {"id": "aside", "lane": "first", "depends_on": "prepare", "command": "true"},
    ]


@pytest.fixture(scope="module")
def failed_run(live: LiveCluster) -> str:
    run_id = live.submit(failing_plan())
    live.finish(run_id)
    return run_id


def test_a_run_is_seen_to_its_end_without_a_reload(live: LiveCluster, opened: Window, gate: Gate) -> None:
    door = gate("door")
    run_id = live.submit(
        [{"id": "one", "command": waiting_for(door)}, {"id": "two", "depends_on": "one", "command": "true"}]
    )
    page = opened.open_run(run_id)
    page.evaluate("window.notLoadedAgain = true")
    expect(page.locator("#run-status")).to_contain_text("running")
    expect(page.get_by_role("button", name="1 running")).to_be_visible()

    door.touch()

    expect(page.locator("#run-status")).to_contain_text("succeeded")
    expect(page.locator(".f-done")).to_contain_text("2of 2")
    expect(page.get_by_role("img", name="Tasks by status: 2 succeeded")).to_be_visible()
    assert page.evaluate("window.notLoadedAgain")


def test_failures_stand_first_and_lead_to_their_log(opened: Window, failed_run: str) -> None:
    page = opened.open_run(failed_run)
    failures = page.get_by_role("region", name="1 task failed")
    expect(failures).to_contain_text("break")
    expect(failures).to_contain_text("exit")
    expect(failures).to_contain_text("exit status 3")
    assert failures.bounding_box()["y"] < page.get_by_role("tablist").bounding_box()["y"]  # type: ignore[index]

    page.get_by_role("button", name="Log of break").click()

    expect(page.get_by_role("log")).to_contain_text("oh no")
    expect(page.get_by_role("heading", name="Output")).to_be_focused()


def test_searching_finds_tasks_by_id_title_and_lane(opened: Window, failed_run: str) -> None:
    page = opened.open_run(failed_run, "tasks")
    field = page.get_by_role("searchbox", name="Find tasks")
    rows = page.get_by_role("table", name="Tasks of the run").get_by_role("row")

    field.fill("ground")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("prepare")
    field.fill("second")
    expect(rows).to_have_count(3)
    field.fill("nothing like it")
    expect(page.get_by_text("No task is like that")).to_be_visible()
    field.press("Escape")
    expect(rows).to_have_count(5)

    page.get_by_role("tab", name="Graph").click()
    field.fill("aside")
    field.press("Enter")
    expect(page.locator("#panel-graph [role=status]")).to_contain_text("aside, succeeded")


def test_the_keyboard_alone_goes_through_graph_drawer_and_tabs(opened: Window, failed_run: str) -> None:
    page = opened.open_run(failed_run)
    graph = page.get_by_role("application", name="Graph of 4 tasks in 3 levels")
    said = page.locator("#panel-graph [role=status]")
    graph.focus()

    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("prepare, Prepare the ground, succeeded")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(said).to_contain_text("1 before")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="prepare")).to_be_visible()
    expect(page.locator("#drawer-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(graph).to_be_focused()

    page.get_by_role("tab", name="Graph").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Gantt")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Gantt")).to_be_visible()
    page.get_by_role("application", name="Attempts over time").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-gantt [role=status]")).to_contain_text("attempt 1")
    page.get_by_role("tab", name="Gantt").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Tasks")).to_be_visible()


def test_the_drawer_follows_output_with_its_colours(live: LiveCluster, opened: Window, gate: Gate) -> None:
    door = gate("door")
    said = r"printf '\033[31mred\033[0m plain <b>no markup</b> \033[2Jrest\n'"
    run_id = live.submit(
        [
            {
                "id": "talks",
                "command": f"{said}; {waiting_for(door)}; printf 'half\\rdone\\nlast \\033[1mline\\033[0m\\n'",
            }
        ]
    )
    page = opened.open_run(run_id, "tasks")
    page.get_by_role("button", name="talks").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("red plain <b>no markup</b> ‹ESC›[2Jrest")
    expect(log.locator(".a-fg1")).to_have_text("red")
    expect(log.locator("b")).to_have_count(0)

    door.touch()

    expect(log).to_contain_text("last line")
    expect(log.locator(".a-bold")).to_have_text("line")
    expect(log).not_to_contain_text("half")
    expect(page.get_by_role("dialog")).to_contain_text("succeeded")
    expect(page.get_by_role("link", name="stdout.log")).to_be_visible()
    expect(page.locator(".part-files .digest").first).to_have_text(re.compile(r"^[0-9a-f]{64}$"))


def test_the_drawer_tells_command_dependencies_attempts_why_and_ledger(opened: Window, failed_run: str) -> None:
    page = opened.open(f"/runs/{failed_run}#view=tasks&task=break")
    task = page.get_by_role("dialog", name="break")

    expect(task.get_by_role("region", name="Command")).to_contain_text("exit 3")
    expect(task.get_by_role("region", name="Why")).to_contain_text("failed")
    expect(task.get_by_role("region", name="What went wrong")).to_contain_text("exit status 3")
    expect(task.get_by_role("table", name="Attempts").get_by_role("row")).to_have_count(2)
    task.get_by_text("Entries that name this task").click()
    expect(task.locator(".ledger li").first).to_contain_text("queued")

    task.get_by_role("region", name="Dependencies").get_by_role("button", name="after").click()
    expect(page.get_by_role("dialog", name="after")).to_contain_text("skipped")
    assert "task=after" in page.url


def test_what_users_write_stays_text(live: LiveCluster, opened: Window) -> None:
    names = {"turned": "a\u202egnp.exe", "long": "x" * 180}
    run_id = live.submit(
        [
            {
                "id": HOSTILE,
                "title": f"<script>document.body.dataset.hurt='yes'</script>{HOSTILE}",
                "command": "exit 1",
            },
            {"id": names["turned"], "title": "a title", "lane": "<b>", "command": "true"},
            {"id": names["long"], "title": "long " * 100, "command": "true"},
        ]
    )
    live.finish(run_id)
    page = opened.open_run(run_id)
    for view in ("Graph", "Gantt", "Use", "Tasks"):
        page.get_by_role("tab", name=view).click()

    page.get_by_role("row").filter(has_text="<img src=x").get_by_role("button").click()

    expect(page.get_by_role("dialog")).to_contain_text("<script>document.body")
    expect(page.get_by_role("table", name="Tasks of the run")).to_contain_text("a‹U+202E›gnp.exe")
    expect(page.locator("main img, main script, main b b")).to_have_count(0)
    assert page.evaluate("document.body.dataset.hurt") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_buttons_are_those_of_the_role(
    live: LiveCluster, browser: Browser, served: ServedApi, failed_run: str, gate: Gate
) -> None:
    door = gate("door")
    run_id = live.submit([{"id": "one", "command": waiting_for(door)}])
    with window(browser, served, "viewer") as opened:
        page = opened.open_run(failed_run)
        expect(page.get_by_role("button", name="Retry failed")).to_have_count(0)
        page = opened.open_run(run_id)
        expect(page.get_by_role("button", name="Stop")).to_have_count(0)

    with window(browser, served, "submitter") as opened:
        page = opened.open_run(failed_run)
        expect(page.get_by_role("button", name="Retry failed")).to_be_visible()
        page = opened.open_run(run_id)
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="End them now").click()
        expect(page.locator("#run-status")).to_contain_text("cancelled")


def test_a_task_that_failed_is_run_again_from_its_page(live: LiveCluster, opened: Window, gate: Gate) -> None:
    door = gate("door")
    run_id = live.submit([{"id": "flaky", "command": f"test -e {door}"}])
    live.finish(run_id)
    page = opened.open_run(run_id)
    expect(page.locator("#run-status")).to_contain_text("failed")
    door.touch()

    page.get_by_role("button", name="Retry failed").click()

    expect(page.locator("#run-status")).to_contain_text("succeeded")
    expect(page.get_by_role("region", name="1 task failed")).to_have_count(0)


def test_a_lost_connection_is_told_and_taken_up_again(
    live: LiveCluster, browser: Browser, served: ServedApi, gate: Gate
) -> None:
    door = gate("door")
    run_id = live.submit([{"id": "one", "command": waiting_for(door)}])
    with window(browser, served) as opened:
        opened.context.route("**/events?*", lambda route: route.abort())
        page = opened.open_run(run_id)
        expect(page.get_by_text("The connection is lost")).to_be_visible()

        opened.context.unroute("**/events?*")
        door.touch()

        expect(page.locator("#run-status")).to_contain_text("succeeded")
        expect(page.get_by_text("The connection is lost")).to_be_hidden()
        opened.complaints = [text for text in opened.complaints if "ERR_FAILED" not in text]  # what was aborted here


def test_use_shows_what_ran_and_where_the_time_went(opened: Window, failed_run: str) -> None:
    page = opened.open_run(failed_run, "use")

    expect(page.get_by_role("img", name="Tasks running: at most")).to_be_visible()
    expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()
    expect(page.get_by_role("img", name="Cores busy: at most")).to_be_visible()
