"""Makes the pictures of the guides, `docs/pictures/*.png`, from a real run.

`PYTHONPATH=tests python tests/browser/make_pictures.py` makes them anew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect
from support.browser import Window, chromium, window
from support.isolation import environment, new_place
from support.live import LiveCluster, Task, live_cluster
from support.serving import ServedApi, served_api

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "has_touch": True}
MOST_BYTES = 150_000


def plan() -> list[Task]:
    """Return samples that are read, aligned, checked and put together; one of them cannot be."""

    def task(task_id: str, lane: str, after: str, seconds: float, then: str = "echo done") -> Task:
        command = f"sleep {seconds:.2f}; {then}"
        return {"id": task_id, "lane": lane, "depends_on": after, "command": command, "duration": f"{seconds:.2f}"}

    tasks = [task("fetch-reference", "prepare", "", 0.3), task("index-reference", "prepare", "fetch-reference", 0.3)]
    for number in range(1, 9):
        broken = number == 5
        tasks += [
            task(f"read-{number}", "prepare", "", 0.2 + number * 0.05),
            task(
                f"align-{number}",
                "align",
                f"read-{number};index-reference",
                0.1 if broken else 0.6 + (number * 37 % 10) / 10,
            ),
            task(
                f"check-{number}",
                "check",
                f"align-{number}",
                0.1 if broken else 0.3 + (number * 53 % 7) / 10,
                "echo 'coverage 3.1 is below 10' >&2; exit 4" if broken else "echo done",
            ),
        ]
    healthy = ";".join(f"check-{number}" for number in range(1, 9) if number != 5)
    tasks += [
        task("merge", "report", healthy, 1.2),
        task("call-variants", "report", "merge", 2.5),
        task("compare-all", "report", "merge;check-5", 0.5),
        task("report", "report", "call-variants;compare-all", 0.5),
    ]
    return tasks


def take(opened: Window, name: str) -> None:
    """Save what a window shows."""
    opened.page.wait_for_timeout(600)  # for what is drawn with the next frames
    path = PICTURES / f"{name}.png"
    opened.page.screenshot(path=path)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path} has {size:,} bytes, more than {MOST_BYTES:,}")


def take_all(live: LiveCluster, served: ServedApi, browser: Browser) -> None:
    """Take the pictures while a run goes on, and when it has ended."""
    run_id = live.submit(plan())
    with window(browser, served, **DESKTOP) as opened:
        page = opened.open_run(run_id)
        expect(page.get_by_role("region", name="1 task failed")).to_be_visible()
        take(opened, "run")
        live.finish(run_id)
        page = opened.open_run(run_id, "gantt")
        page.get_by_role("radio", name="By lane").check()
        page.locator(".tab-row").evaluate("row => row.scrollIntoView()")
        take(opened, "gantt")
    with window(
        browser, served, color_scheme="dark", **(DESKTOP | {"viewport": {"width": 1240, "height": 700}})
    ) as opened:
        page = opened.open(f"/runs/{run_id}#task=check-5")
        page.get_by_role("button", name="Critical path", exact=True).click()
        take(opened, "task")
    with window(browser, served, **PHONE) as opened:
        opened.open_run(run_id, "tasks")
        take(opened, "phone")


def main() -> None:
    """Make all pictures anew."""
    PICTURES.mkdir(exist_ok=True)
    with (
        new_place() as place,
        environment(place.environ()),
        live_cluster(place) as live,
        served_api(live, rate=10**6) as served,
        chromium() as browser,
    ):
        live.start_worker(slots=4)
        take_all(live, served, browser)


if __name__ == "__main__":
    sys.exit(main())
