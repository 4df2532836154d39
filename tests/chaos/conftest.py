"""Rings to do harm in, and the executable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.arena import Ring, open_ring
from support.isolation import environment, new_place
from support.tek import Tek, tek_place


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have pytest choose its own folder before TMPDIR is another one for a while."""
    tmp_path_factory.getbasetemp()


@pytest.fixture
def ring() -> Iterator[Callable[..., Ring]]:
    """Opens a ring for one test, without workers; keywords are settings, with `__` for the dot."""
    with ExitStack() as stack:

        def start(*, lease_s: float = 1.0, **settings: object) -> Ring:
            place = stack.enter_context(new_place())
            stack.enter_context(environment(place.environ()))
            dotted = {name.replace("__", "."): value for name, value in settings.items()}
            return stack.enter_context(open_ring(place, lease_s=lease_s, **dotted))

        yield start


@pytest.fixture
def tek() -> Iterator[Tek]:
    with tek_place() as tek:
        yield tek
