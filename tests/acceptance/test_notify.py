"""`tek notify`, and runs of `tek run` that are told of, traced and logged, as their user sees them."""

from __future__ import annotations

import json

from support.receivers import trace_receiver, web_receiver
from support.tek import Tek


def test_targets_are_listed_without_what_may_be_secret(tek: Tek) -> None:
    targets = "https://hooks.example.org/services/T000/secret mailto:ops@example.org slack://a/b/c"

    listed = tek("notify", "--set", f"notify.targets={targets}", "--output", "json").expect(0)

    assert [row["kind"] for row in listed.json["targets"]] == ["webhook", "mail", "apprise"]
    assert "secret" not in listed.stdout


def test_test_tells_whom_it_reached(tek: Tek) -> None:
    with web_receiver(lambda number: 200 if number == 1 else 500) as hook:
        reached = tek("notify", hook.url, "--test", "--output", "json").expect(0)
        refused = tek("notify", hook.url, "--test", "--output", "json").expect(3)

    assert reached.json["targets"][0]["told"] == "yes"
    assert refused.json["targets"][0]["told"] == "it answered 500"
    assert json.loads(hook.requests[0].body)["is_test"] is True


def test_nobody_to_tell_is_a_usage_error(tek: Tek) -> None:
    assert "nobody is told" in tek("notify").expect(2).stderr


def test_unknown_apprise_address_is_told(tek: Tek) -> None:
    assert "apprise" in tek("notify", "nosuchservice://x", "--test").expect(3).stdout


def test_run_is_told_of_and_traced_and_its_folder_still_verifies(tek: Tek) -> None:
    with web_receiver() as hook, trace_receiver() as traces:
        options = ["--set", f"notify.targets={hook.url}", "--set", f"trace.endpoint={traces.url}"]

        done = tek.run([{"id": "a", "command": "true"}, {"id": "b", "command": "true"}], *options).expect(0)

        assert [json.loads(request.body)["event"] for request in hook.requests] == ["run_ended"]
        assert len(traces.spans) == 3
    assert tek("verify", done.json["run_id"]).expect(0)


def test_target_that_cannot_be_reached_is_told_and_costs_the_run_nothing(tek: Tek) -> None:
    options = ["--set", "notify.targets=http://127.0.0.1:9/", "--set", "notify.attempts=1"]

    done = tek.run([{"id": "a"}], *options, "--set", "log.format=json").expect(0)

    (line,) = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert line["event"] == "somebody could not be told"
    assert line["run"] == done.json["run_id"]
