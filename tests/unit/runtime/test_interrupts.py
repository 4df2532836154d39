"""Tests of counting interrupts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from taskexec.runtime.interrupts import Interrupts


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Whoever started the tests may have had interrupts ignored, as a script does of what it has in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_interrupt_counts_one_and_termination_two() -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

        assert interrupts.count == 3


def test_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)

            assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Interrupts():
        pass

    assert signal.getsignal(signal.SIGTERM) is before
