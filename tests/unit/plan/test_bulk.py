"""The collector pauses while anybody wants it to, and goes on afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from taskexec.plan import collection_paused


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was_enabled else gc.disable)()


def test_collector_goes_on_when_the_last_is_done_in_whatever_order() -> None:
    one, two = collection_paused(), collection_paused()

    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    between = gc.isenabled()
    two.__exit__(None, None, None)

    assert (between, gc.isenabled()) == (False, True)


def test_collector_goes_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="no plan"), collection_paused():
        raise ValueError("no plan")

    assert gc.isenabled()


def test_program_that_runs_without_it_goes_on_without_it() -> None:
    gc.disable()

    with collection_paused():
        pass

    assert not gc.isenabled()
