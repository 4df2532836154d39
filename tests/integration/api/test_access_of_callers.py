"""Who may do what: tokens, roles, sessions of browsers, rates, and the record of changes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx2
import pytest
from support.live import LiveCluster
from support.serving import ServedApi, problem_of, served_api
from support.waiting import wait_until

CSV = "id,command\na,true\n"
WITHOUT_TOKEN = {"/healthz", "/api/v1/openapi.json"}


def submit(client: httpx2.Client, text: str = CSV, **headers: str) -> httpx2.Response:
    return client.post("/api/v1/runs", content=text, headers={"Content-Type": "text/csv", **headers})


@pytest.fixture(autouse=True)
def _here(live: LiveCluster) -> None:
    """Have all tests of the module work on the shared cluster."""


@pytest.fixture
def admin(served: ServedApi) -> Iterator[httpx2.Client]:
    with served.client("admin") as client:
        yield client


def test_every_route_of_the_specification_needs_a_token(served: ServedApi, admin: httpx2.Client) -> None:
    paths = admin.get("/api/v1/openapi.json").json()["paths"]
    open_to_all = []
    with served.client(None) as stranger:
        for path, operations in paths.items():
            for method, operation in operations.items():
                place = re.sub(r"\{verb\}", "drain", path)
                answer = stranger.request(method, re.sub(r"\{[^}]+\}", "1", place), content=b"")
                if answer.status_code != 401:
                    open_to_all.append((method, path))
                    assert operation["security"] == [], (method, path, answer.status_code, answer.text)
                else:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
                    problem_of(answer, 401, "access.token")

    assert set(open_to_all) <= {
        ("get", "/healthz"),
        ("get", "/metrics"),
        ("post", "/api/v1/session"),
        ("delete", "/api/v1/session"),
    }


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nonsense",
        "Bearer tek_000000000000_0000000000000000000000000000000000000000000",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer",
        "",
    ],
)
def test_what_is_no_token_is_refused(served: ServedApi, header: str) -> None:
    before = served.runs()
    with served.client(None, headers={"Authorization": header}) as client:
        problem_of(submit(client), 401, "access.token")

    assert served.runs() == before


def test_token_with_another_secret_is_refused(served: ServedApi) -> None:
    text = served.tokens["admin"]
    with served.client(text[:-1] + ("A" if text[-1] != "A" else "B")) as client:
        problem_of(client.get("/api/v1/session"), 401, "access.token")


@pytest.mark.parametrize(
    ("role", "method", "path"),
    [
        ("viewer", "POST", "/api/v1/plans"),
        ("viewer", "POST", "/api/v1/runs"),
        ("viewer", "POST", "/api/v1/runs/x/stop"),
        ("viewer", "POST", "/api/v1/runs/x/retry"),
        ("submitter", "POST", "/api/v1/workers/x/drain"),
        ("submitter", "GET", "/api/v1/tokens"),
        ("approver", "POST", "/api/v1/tokens"),
        ("approver", "GET", "/api/v1/audit"),
    ],
)
def test_token_without_the_role_is_refused_and_nothing_changed(
    served: ServedApi, role: str, method: str, path: str
) -> None:
    before = served.runs()
    bodies = {"/api/v1/tokens": {"name": "x", "role": "admin"}}
    with served.client(role) as client:
        answer = client.request(method, path, json=bodies.get(path, {}))

    problem_of(answer, 403, "access.role")
    assert served.runs() == before


def test_expired_token_counts_no_more(served: ServedApi) -> None:
    with served.client(served.make_token("admin", now=time.time() - 20, lifetime_s=10)) as client:
        problem_of(client.get("/api/v1/session"), 401, "access.expired")


def test_token_is_made_listed_and_revoked(served: ServedApi, admin: httpx2.Client) -> None:
    made = admin.post("/api/v1/tokens", json={"name": "ci", "role": "submitter", "expires_s": 3600})
    assert made.status_code == 201
    token, token_id = made.json()["token"], made.json()["token_id"]
    with served.client(token) as client:
        session = client.get("/api/v1/session").json()
        listed = admin.get("/api/v1/tokens").json()["tokens"]
        revoked = admin.delete(f"/api/v1/tokens/{token_id}")

        assert (session["name"], session["role"]) == ("ci", "submitter")
        assert token_id in {row["token_id"] for row in listed}
        assert token.split("_", 2)[2] not in str(listed)
        assert revoked.status_code == 204
        problem_of(client.get("/api/v1/session"), 401, "access.token")
    problem_of(admin.delete(f"/api/v1/tokens/{token_id}"), 404, "not_found")


def test_no_secret_is_kept(served: ServedApi, live: LiveCluster) -> None:
    kept = b"".join(live.cluster.connection.call("HVALS", "tek:tokens"))

    assert all(text.split("_", 2)[2].encode() not in kept for text in served.tokens.values())


def test_plan_may_only_name_what_its_token_may(served: ServedApi) -> None:
    token = served.make_token("submitter", agents=("noop",), routes=("cpu",))
    before = served.runs()
    with served.client(token) as client:
        problem = problem_of(
            submit(client, "id,agent,command,queue\na,noop,,cpu\nb,,true,cpu\nc,noop,,gpu\n"), 403, "access.plan"
        )
        task = client.post("/api/v1/tasks", json={"description": "x", "command": "true"})
        allowed = submit(client, "id,agent,queue\na,noop,cpu\n")

    assert [(fault["code"], fault["places"][0]["line"]) for fault in problem["faults"]] == [
        ("access.agent", 3),
        ("access.route", 4),
    ]
    problem_of(task, 403, "access.plan")
    assert allowed.status_code == 201
    assert served.runs() - before == {allowed.json()["run_id"]}


def test_tasks_that_a_token_may_not_name_do_not_run_again_for_it(served: ServedApi, live: LiveCluster) -> None:
    token = served.make_token("submitter", agents=("noop",))
    run_id = live.submit([{"id": "a", "agent": "noop"}, {"id": "b", "command": "false", "depends_on": "a"}])
    wait_until(lambda: live.store.head(run_id).status == "failed", "the end of the run")
    with served.client(token) as restricted, served.client("submitter") as free:
        refused = restricted.post(f"/api/v1/runs/{run_id}/retry", json={"tasks": ["a"]})
        again = free.post(f"/api/v1/runs/{run_id}/retry")

    problem_of(refused, 403, "access.plan")
    assert again.status_code == 200
    assert again.json()["tasks"] == ["b"]


def test_browser_logs_in_with_a_cookie_that_scripts_cannot_read(served: ServedApi) -> None:
    with served.client(None) as browser:
        session = browser.post("/api/v1/session", json={"token": served.tokens["submitter"]})
        cookie = session.headers["Set-Cookie"]
        assert session.json()["role"] == "submitter"
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert served.tokens["submitter"] not in cookie
        assert browser.get("/api/v1/session").json()["name"] == "submitter"

        before = served.runs()
        problem_of(submit(browser), 403, "access.csrf")
        assert served.runs() == before
        assert submit(browser, **{"X-Tek-Request": "1"}).status_code == 201

        stolen = dict(browser.cookies)
        assert browser.delete("/api/v1/session").status_code == 204
        assert not browser.cookies
    with served.client(None, cookies=stolen) as thief:
        problem_of(thief.get("/api/v1/session"), 401, "access.session")


def test_session_ends_with_its_token(served: ServedApi, admin: httpx2.Client) -> None:
    token = served.make_token("viewer")
    with served.client(None) as browser:
        browser.post("/api/v1/session", json={"token": token})
        admin.delete(f"/api/v1/tokens/{token.split('_')[1]}")

        problem_of(browser.get("/api/v1/session"), 401, "access.session")


def test_login_ends_the_session_before_it_or_asks_first(served: ServedApi) -> None:
    with served.client(None) as browser:
        browser.post("/api/v1/session", json={"token": served.tokens["viewer"]})
        former = dict(browser.cookies)

        asked = browser.post("/api/v1/session", json={"token": served.tokens["admin"], "replace": False})
        assert "`viewer`" in problem_of(asked, 409, "access.signed_in")["detail"]
        assert browser.get("/api/v1/session").json()["role"] == "viewer"

        same = browser.post("/api/v1/session", json={"token": served.tokens["viewer"], "replace": False})
        assert same.status_code == 200
        browser.post("/api/v1/session", json={"token": served.tokens["admin"]})
        assert browser.get("/api/v1/session").json()["role"] == "admin"
    with served.client(None, cookies=former) as thief:
        problem_of(thief.get("/api/v1/session"), 401, "access.session")


def test_two_apis_of_one_host_have_sessions_of_their_own(served: ServedApi, live: LiveCluster) -> None:
    with served_api(live) as second, served.client(None) as browser:
        browser.post("/api/v1/session", json={"token": served.tokens["viewer"]})
        browser.post(f"{second.url}/api/v1/session", json={"token": second.tokens["admin"]})

        assert browser.get("/api/v1/session").json()["role"] == "viewer"
        assert browser.get(f"{second.url}/api/v1/session").json()["role"] == "admin"
        browser.delete(f"{second.url}/api/v1/session")
        assert browser.get("/api/v1/session").status_code == 200


def test_wrong_token_makes_no_session(served: ServedApi) -> None:
    with served.client(None) as browser:
        answer = browser.post("/api/v1/session", json={"token": "tek_x"})

        problem_of(answer, 401, "access.token")
        assert "Set-Cookie" not in answer.headers


def test_token_that_calls_too_often_waits_and_others_do_not(live: LiveCluster) -> None:
    with served_api(live, rate=5) as served, served.client("viewer") as client, served.client("admin") as other:
        answers = [client.get("/api/v1/session") for _ in range(6)]

        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
        problem_of(answers[-1], 429, "rate.limit")
        assert other.get("/api/v1/session").status_code == 200


def test_address_that_guesses_tokens_waits(live: LiveCluster) -> None:
    with served_api(live, failure_rate=3) as served, served.client("tek_guess") as client:
        answers = [client.get("/api/v1/session") for _ in range(5)]

        assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
        assert client.get("/healthz").status_code == 200


def test_every_change_leaves_an_entry_that_admins_read(
    served: ServedApi, admin: httpx2.Client, live: LiveCluster
) -> None:
    with served.client("submitter") as client, served.client("viewer") as viewer:
        made = submit(client, **{"X-Request-Id": "from-the-test"})
        submit(viewer)
        submit(client, "id,depends_on\na,b\n")
        submit(viewer)
    worker = live.worker_names()[0]
    admin.post(f"/api/v1/workers/{worker}/cordon")
    admin.post(f"/api/v1/workers/{worker}/uncordon")

    entries = admin.get("/api/v1/audit", params={"limit": 4}).json()["entries"]
    rest = admin.get("/api/v1/audit", params={"limit": 2}).json()
    further = admin.get("/api/v1/audit", params={"limit": 2, "cursor": rest["next"]}).json()["entries"]

    assert [(row["name"], row["path"], row["status"]) for row in entries] == [
        ("admin", f"/api/v1/workers/{worker}/uncordon", 200),
        ("admin", f"/api/v1/workers/{worker}/cordon", 200),
        ("submitter", "/api/v1/runs", 422),
        ("submitter", "/api/v1/runs", 201),
    ]
    assert (entries[3]["subject"], entries[3]["request_id"]) == (made.json()["run_id"], "from-the-test")
    assert entries[3]["address"] == "127.0.0.1"
    assert made.headers["X-Request-Id"] == "from-the-test"
    assert rest["entries"] + further == entries
    assert admin.get("/api/v1/audit", params={"cursor": "0-0"}).json() == {"entries": [], "next": None}


def test_whoever_may_only_look_pushes_nothing_out_of_the_record(served: ServedApi, admin: httpx2.Client) -> None:
    before = admin.get("/api/v1/audit", params={"limit": 1}).json()["entries"]
    with served.client("viewer") as viewer:
        submit(viewer)
        viewer.post("/api/v1/tasks", content=b"{", headers={"Content-Type": "application/json"})
        viewer.post("/api/v1/nothing", json={})
        viewer.post("/api/v1/session", json={"token": served.tokens["viewer"]})

    refused = admin.get("/api/v1/audit", params={"kind": "access", "limit": 4}).json()
    further = admin.get("/api/v1/audit", params={"kind": "access", "limit": 2, "cursor": refused["entries"][1]["id"]})

    assert admin.get("/api/v1/audit", params={"limit": 1}).json()["entries"] == before
    assert [(row["path"], row["name"], row["status"]) for row in refused["entries"]] == [
        ("/api/v1/session", "viewer", 200),
        ("/api/v1/nothing", "viewer", 404),
        ("/api/v1/tasks", "viewer", 400),
        ("/api/v1/runs", "viewer", 403),
    ]
    assert further.json()["entries"] == refused["entries"][2:]


def test_worker_is_cordoned_and_taken_back(admin: httpx2.Client, live: LiveCluster) -> None:
    name = live.worker_names()[0]

    cordoned = admin.post(f"/api/v1/workers/{name}/cordon").json()
    try:
        wished = live.cluster.connection.call("HGET", "tek:wishes", name)
    finally:
        back = admin.post(f"/api/v1/workers/{name}/uncordon").json()

    assert (cordoned, wished) == ({"name": name, "state": "cordoned"}, b"cordoned")
    assert back == {"name": name, "state": "ready"}
    problem_of(admin.post("/api/v1/workers/nobody/drain"), 404, "not_found")
    problem_of(admin.post(f"/api/v1/workers/{name}/explode"), 422, "request.invalid")


def test_pages_of_other_origins_are_let_in_only_where_they_are_named(served: ServedApi, live: LiveCluster) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    with served.client(None) as client:
        assert "Access-Control-Allow-Origin" not in client.options("/api/v1/runs", headers=asked).headers
    with (
        served_api(live, cors_origins="https://a.example") as open_to_one,
        open_to_one.client(None) as client,
    ):
        allowed = client.options("/api/v1/runs", headers=asked)
        refused = client.options("/api/v1/runs", headers=asked | {"Origin": "https://b.example"})

    assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert "Access-Control-Allow-Origin" not in refused.headers
