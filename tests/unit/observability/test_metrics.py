"""Sheets, histograms and the small server that Prometheus asks."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.waiting import wait_until

from taskexec.observability.metrics import CONTENT_TYPE, Histogram, ScrapeServer, Sheet, listen


class Page:
    """A page that counts how often it is made."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> bytes:
        self.made += 1
        return b"made %d\n" % self.made


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def server(page: Page) -> Iterator[ScrapeServer]:
    server = ScrapeServer("127.0.0.1", 0, page)
    yield server
    server.stop()


def ask(server: ScrapeServer, path: str = "/metrics") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
        return bytes(answer.read())


def test_histogram_counts_up_to_and_with_its_bounds() -> None:
    histogram = Histogram((1.0, 2.0))

    for seconds in (0.5, 1.0, 1.5, 3.0, -4.0):
        histogram.add(seconds)

    assert histogram.counts == [3, 1, 1]
    assert histogram.total == 6.0


def test_sheet_is_what_prometheus_reads() -> None:
    sheet = Sheet()
    histogram = Histogram((0.001, 1.0))
    histogram.add(0.5, 3)

    sheet.set("taskexec_tasks", 4, state="queued")
    sheet.add("taskexec_attempts_total", 2, outcome="failed", kind="shell", reason="exit")
    sheet.add("taskexec_attempts_total", 1, outcome="failed", kind="shell", reason="exit")
    sheet.set("taskexec_worker_work_seconds", histogram, kind="shell")

    families = {family.name: family for family in text_string_to_metric_families(sheet.text().decode())}
    assert families["taskexec_tasks"].samples[0].value == 4
    assert families["taskexec_attempts"].type == "counter"
    assert families["taskexec_attempts"].samples[0].value == 3
    found = {(s.name, s.labels.get("le")): s.value for s in families["taskexec_worker_work_seconds"].samples}
    assert found["taskexec_worker_work_seconds_bucket", "0.001"] == 0
    assert found["taskexec_worker_work_seconds_bucket", "+Inf"] == 3
    assert found["taskexec_worker_work_seconds_sum", None] == 1.5
    assert found["taskexec_worker_work_seconds_count", None] == 3


@pytest.mark.parametrize("hostile", ['a"b', "a\nb 1", "a\\", "{}", "\x00\x1b[31m", "ü"])
def test_hostile_text_stays_within_its_label(hostile: str) -> None:
    sheet = Sheet()

    sheet.set("taskexec_nodes", 1, **{"class": hostile})

    (family,) = text_string_to_metric_families(sheet.text().decode())
    assert [sample.labels for sample in family.samples] == [{"class": hostile}]


def test_metric_of_other_labels_or_of_none_at_all_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        Sheet().set("taskexec_tasks", 1)
    with pytest.raises(KeyError):
        Sheet().set("taskexec_unheard_of", 1)


def test_file_is_replaced_as_a_whole_and_may_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "tek.prom"
    path.write_text("before")
    sheet = Sheet()
    sheet.set("taskexec_runs", 1)

    sheet.write(path)

    assert path.read_bytes() == sheet.text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [*tmp_path.iterdir()] == [path]


def test_page_is_served_with_its_type(server: ScrapeServer) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics?name=x", timeout=10) as answer:
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert answer.read() == b"made 1\n"


def test_other_paths_are_not_there(server: ScrapeServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(server, "/secrets")


def test_page_is_made_once_however_often_it_is_asked_for(page: Page) -> None:
    server = ScrapeServer("127.0.0.1", 0, page, lasts_s=3600.0)

    answers = {ask(server) for _ in range(50)}
    server.stop()

    assert answers == {b"made 1\n"}
    assert page.made == 1


def test_connections_that_say_nothing_keep_nobody_out_for_good(server: ScrapeServer) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as further:
            assert further.recv(1) == b""  # it is turned away at once

        def is_let_in() -> bool:
            try:
                return ask(server).startswith(b"made")
            except OSError:
                return False

        wait_until(is_let_in, "the silent ones to be cut", timeout_s=20.0)


def test_flood_from_many_threads_is_answered_or_turned_away(server: ScrapeServer, page: Page) -> None:
    answered, turned_away = [], []
    before = threading.active_count()  # other tests of this process may have left some at work

    def flood() -> None:
        for _ in range(20):
            try:
                answered.append(ask(server))
            except OSError:
                turned_away.append(1)

    threads = [threading.Thread(target=flood) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answered) + len(turned_away) == 320
    assert answered
    assert page.made < 20
    wait_until(lambda: threading.active_count() <= before, "the threads of the server to end")


def test_next_port_is_taken_where_one_is_taken(server: ScrapeServer, page: Page) -> None:
    other = listen("127.0.0.1", server.port, page, ports=20)

    assert server.port < other.port < server.port + 20
    other.stop()
    with pytest.raises(OSError):
        listen("127.0.0.1", server.port, page)
