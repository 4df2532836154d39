"""Tests of the addresses that lead from run pages to Flower and back."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from taskexec.domain.flower_links import celery_id, flower_task_url, flower_tasks_url, run_page_url


def test_task_in_flower_has_celerys_id() -> None:
    assert celery_id("r1", 7) == "r1.7"
    assert flower_task_url("http://127.0.0.1:5555/", "r1", 7) == "http://127.0.0.1:5555/task/r1.7"


def test_list_of_a_run_is_a_search_of_flower() -> None:
    parts = urlsplit(flower_tasks_url("https://flower.example/f", "r-1.x"))

    assert parts.path == "/f/tasks"
    assert "+" not in parts.query  # Flower's page does not read it as a space
    assert parse_qs(parts.query) == {"name": ["tek. kwargs:run=r-1.x"]}


def test_run_page_opens_at_a_task_whatever_its_id() -> None:
    assert run_page_url("https://tek.example/", "r1") == "https://tek.example/runs/r1"
    assert (
        run_page_url("https://tek.example", "r1", "a <b>&#/") == "https://tek.example/runs/r1#task=a%20%3Cb%3E%26%23%2F"
    )
