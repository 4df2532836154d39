from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import Window, window
from support.live import LiveCluster
from support.serving import ServedApi

pytestmark = pytest.mark.xdist_group("browser")

PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
VIEWS = ("graph", "gantt", "use", "tasks")


@pytest.fixture(scope="module")
def runs(live: LiveCluster) -> tuple[str, str]:
    """Two runs of one plan but for a task; the second fails."""
    found = []
    for last in ("true", "exit 1"):
        tasks = [{"id": f"step-{index}-with-a-name", "lane": "steps", "command": "true"} for index in range(12)]
        found.append(live.submit([*tasks, {"id": "last", "depends_on": "step-1-with-a-name", "command": last}]))
        live.finish(found[-1])
    return found[0], found[1]


def test_whoever_is_not_signed_in_is_asked_and_led_back(
    browser: Browser, served: ServedApi, runs: tuple[str, str]
) -> None:
    with window(browser, served, None) as opened:
        page = opened.page
        page.goto(f"{served.url}/runs/{runs[0]}#view=tasks")
        page.wait_for_url("**/login?next=*")
        page.get_by_label("Token").fill("tek_0123456789ab_not-a-token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()

        page.get_by_label("Token").fill(served.tokens["viewer"])
        page.keyboard.press("Enter")

        page.wait_for_url(f"**/runs/{runs[0]}#view=tasks")
        expect(page.get_by_role("tabpanel", name="Tasks")).to_be_visible()
        opened.complaints = [text for text in opened.complaints if "401" not in text]  # what was refused, as it should


def test_a_token_in_the_address_does_not_stay_there(browser: Browser, served: ServedApi) -> None:
    with window(browser, served, None) as opened:
        opened.sign_in("viewer")

        assert "tek_" not in opened.page.url
        (cookie,) = opened.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert opened.page.evaluate("document.cookie") == ""
        opened.page.go_back()
        assert "tek_" not in opened.page.url


def test_a_token_in_the_address_takes_no_session_over_unasked(browser: Browser, served: ServedApi) -> None:
    with window(browser, served, "admin") as opened:
        page, link = opened.page, f"{served.url}/login?next=/workers#token={served.tokens['viewer']}"
        page.goto(link)
        expect(page.get_by_role("group")).to_contain_text(
            "signed in as admin (admin). Sign in as viewer (viewer) instead"
        )
        assert "tek_" not in page.url
        page.get_by_role("button", name="Stay admin").click()
        page.wait_for_url("**/workers")
        expect(page.locator("#who")).to_have_text("admin · admin")

        page.goto(link)
        page.get_by_role("button", name="Sign in as viewer").click()
        page.wait_for_url("**/workers")
        expect(page.locator("#who")).to_have_text("viewer · viewer")

        page.goto(link)  # the same token needs no question
        page.wait_for_url("**/workers")
        opened.complaints = [text for text in opened.complaints if "409" not in text]  # what was refused, as it should


def test_login_leads_to_no_other_host(browser: Browser, served: ServedApi) -> None:
    with window(browser, served, None) as opened:
        opened.page.goto(f"{served.url}/login?next=//elsewhere.example/#token={served.tokens['viewer']}")

        opened.page.wait_for_url(f"{served.url}/")


def test_signing_out_ends_the_session(opened: Window) -> None:
    opened.open("/").get_by_role("button", name="Sign out").click()

    opened.page.wait_for_url("**/login")
    assert opened.context.cookies() == []


def test_runs_are_listed_filtered_and_compared(opened: Window, runs: tuple[str, str]) -> None:
    page = opened.open("/")
    rows = page.get_by_role("table", name="Runs").get_by_role("row")
    page.get_by_role("searchbox", name="Filter runs").fill(runs[1])
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("failed")
    page.get_by_role("searchbox", name="Filter runs").fill("plan.csv")

    for run_id in runs:
        page.get_by_role("checkbox", name=run_id).check()
    page.get_by_role("link", name="Compare two").click()

    page.wait_for_url(f"**/compare/{runs[0]}/{runs[1]}")
    expect(page.get_by_text("1 ended otherwise")).to_be_visible()
    expect(page.get_by_role("table", name="Tasks of both runs").get_by_role("row").nth(1)).to_contain_text("last")
    expect(page.get_by_role("row").nth(1)).to_contain_text("succeeded → ✕failed")
    page.get_by_label("Order").select_option("plan")
    expect(page.get_by_role("row").nth(1)).not_to_contain_text("last")


def test_workers_are_shown_with_what_is_free(browser: Browser, served: ServedApi) -> None:
    name = served.live.worker_names()[0]
    with window(browser, served, "viewer") as opened:
        page = opened.open("/workers")
        card = page.get_by_role("article", name=name)
        expect(card.get_by_role("meter", name="slots")).to_have_attribute("aria-valuetext", "0 of 4 in use")
        expect(card.get_by_role("button")).to_have_count(0)


def test_an_admin_has_a_worker_take_nothing_more_and_take_tasks_again(opened: Window, live: LiveCluster) -> None:
    name = live.worker_names()[0]
    page = opened.open("/workers")
    try:
        page.get_by_role("button", name=f"Cordon {name}", exact=True).click()
        expect(page.get_by_role("article", name=name)).to_contain_text("cordoned")

        page.get_by_role("button", name=f"Uncordon {name}", exact=True).click()
        expect(page.get_by_role("button", name=f"Cordon {name}", exact=True)).to_be_visible()
    finally:
        live.cluster.workers.wish(name, "ready")


def test_a_phone_needs_no_scrolling_sideways(browser: Browser, served: ServedApi, runs: tuple[str, str]) -> None:
    with window(browser, served, **PHONE) as opened:
        paths = ["/", "/workers", f"/compare/{runs[0]}/{runs[1]}", f"/runs/{runs[1]}#task=last"]
        for path in [*paths, *(f"/runs/{runs[1]}#view={view}" for view in VIEWS)]:
            page = opened.open(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert _touchable(opened.open_run(runs[1]))


def _touchable(page: Page) -> bool:
    """Return whether tabs and tools are large enough for a finger."""
    heights = page.locator("[role=tab], .zoom button").evaluate_all("all => all.map(one => one.offsetHeight)")
    return min(height for height in heights if height) >= 30


def test_colours_follow_the_system_until_one_is_chosen(browser: Browser, served: ServedApi) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with window(browser, served, color_scheme="dark") as opened:
        page = opened.open("/workers")
        dark = page.evaluate(background)
        page.emulate_media(color_scheme="light")
        light = page.evaluate(background)
        assert light != dark
        page.get_by_role("button", name="Colours: automatic").click()
        page.get_by_role("button", name="Colours: light").click()
        assert page.evaluate(background) == dark

        page = opened.open("/workers")

        assert page.evaluate(background) == dark
        expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()


def test_every_page_has_landmarks_and_names(opened: Window, runs: tuple[str, str]) -> None:
    for path in ("/", "/workers", f"/runs/{runs[1]}", f"/runs/{runs[1]}#task=last", f"/compare/{runs[0]}/{runs[1]}"):
        page = opened.open(path)
        expect(page.get_by_role("banner")).to_have_count(1)
        expect(page.get_by_role("navigation", name="Pages")).to_have_count(1)
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        assert page.evaluate(_NAMELESS) == [], path


_NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, [role=img], [role=application], table')]
  .filter((one) => one.checkVisibility() && one.type !== 'hidden')
  .filter((one) => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby') || one.textContent.trim()
    || one.labels?.length || one.closest('label')?.textContent.trim()))
  .map((one) => one.outerHTML.slice(0, 120))"""


def test_the_run_page_reads_in_order_without_seeing_it(opened: Window, runs: tuple[str, str]) -> None:
    page = opened.open_run(runs[1], "tasks")

    expect(page.get_by_role("main")).to_match_aria_snapshot(
        """
        - main:
          - heading /plan.csv.*failed/ [level=1]
          - region "Overview":
            - img /12 succeeded, 1 failed/
          - region "1 task failed"
          - tablist "Views of the run":
            - tab "Graph"
            - tab "Gantt"
            - tab "Use"
            - tab "Tasks" [selected]
          - tabpanel "Tasks":
            - table "Tasks of the run":
              - rowgroup:
                - row "Task Status Lane Attempts Worker Duration"
        """
    )


def test_a_run_that_does_not_exist_is_told(browser: Browser, served: ServedApi) -> None:
    with window(browser, served) as opened:
        opened.page.goto(f"{served.url}/runs/20200101-000000-000000000")

        expect(opened.page.get_by_role("alert")).to_contain_text("there is no run")
        opened.complaints = []  # a browser tells of every 404


def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(served: ServedApi) -> None:
    with served.client(None) as client:
        page = client.get("/runs/any")

        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "style=" not in page.text
        assert "<script>" not in page.text
        assert page.headers["x-frame-options"] == "DENY"


def test_all_modules_of_a_page_are_asked_for_at_once(served: ServedApi) -> None:
    with served.client(None) as client:
        for path, name in (("/", "runs"), ("/runs/any", "run"), ("/workers", "workers"), ("/login", "login")):
            page = client.get(path).text
            found = re.findall(r'<link rel="modulepreload" href="([^"]+)"', page)
            texts = {address.rsplit("/", 1)[1]: client.get(address).text for address in found}
            own = client.get(f"/static/page-{name}.js").text
            imported = set(re.findall(r'from "\./([^"]+)"', "\n".join([own, *texts.values()])))

            assert imported == texts.keys()
            assert len(found) == len(texts)


def test_data_of_a_run_is_asked_for_before_its_modules_and_once(
    browser: Browser, served: ServedApi, runs: tuple[str, str]
) -> None:
    with window(browser, served) as opened:
        asked: list[str] = []
        opened.page.on("request", lambda request: asked.append(request.url.removeprefix(f"{served.url}/api/v1")))
        parts = ["/session", *(f"/runs/{runs[0]}{part}" for part in ("", "/graph", "/timeline"))]

        opened.open_run(runs[0])
        counts = [asked.count(part) for part in parts]
        opened.context.route("**/page-run.js", lambda route: route.abort())
        asked.clear()
        opened.page.goto("about:blank")
        opened.page.goto(f"{served.url}/runs/{runs[0]}")
        opened.complaints = []  # a module did not come

        assert counts == [1, 1, 1, 1]
        assert [asked.count(part) for part in parts] == [1, 1, 1, 1]


def test_files_of_pages_are_kept_for_ever_by_their_version(served: ServedApi) -> None:
    with served.client(None) as client:
        address = next(part for part in client.get("/").text.split('"') if part.endswith("/page-runs.js"))
        first = client.get(address)
        again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
        plain = client.get("/static/page-runs.js")

        assert "immutable" in first.headers["cache-control"]
        assert again.status_code == 304
        assert plain.headers["cache-control"] == "no-cache"
        assert client.get("/static/nothing.js").status_code == 404
        assert client.get("/static/shell.html").status_code == 404
        assert client.get("/static/..%2fpages.py").status_code == 404


def test_what_ended_otherwise_comes_before_what_only_one_run_has(opened: Window, live: LiveCluster) -> None:
    found = []
    for name, last in (("a", "true"), ("b", "exit 1")):
        alone: list[dict[str, object]] = [{"id": f"{name}{number:03}", "agent": "noop"} for number in range(120)]
        found.append(live.submit([*alone, {"id": "z-both", "command": last}]))
        live.finish(found[-1])

    page = opened.open(f"/compare/{found[0]}/{found[1]}")

    expect(page.get_by_role("table", name="Tasks of both runs").get_by_role("row").nth(1)).to_contain_text("z-both")
