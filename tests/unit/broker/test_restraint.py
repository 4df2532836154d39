"""Tests of how much of a machine Flower takes."""

from __future__ import annotations

import pytest

from taskexec.broker.restraint import Restraint, rest_s, share_of


class Machine:
    """A machine whose time passes only in rests, of which others take a part."""

    def __init__(self, cores: int, others: float) -> None:
        self.cores = cores
        self.others = others
        """Part of the machine that others use."""
        self.now = self.idle = self.worked = 0.0
        self.rests: list[float] = []

    def restraint(self) -> Restraint:
        return Restraint(
            self.cores,
            idle=lambda: self.idle,
            worked=lambda: self.worked,
            clock=lambda: self.now,
            sleep=self.pass_time,
        )

    def pass_time(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds
        self.idle += seconds * self.cores * (1 - self.others)

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.worked += seconds
        self.idle += seconds * (self.cores * (1 - self.others) - 1 if self.others < 1 else 0)


def taken(machine: Machine, restraint: Restraint) -> float:
    """Return the part of the machine that was taken in the last of several pieces of work, when all is known."""
    for _ in range(20):
        machine.work(0.05)
        begun = machine.now
        restraint.rest()
    return 0.05 / (0.05 + machine.now - begun) / machine.cores


@pytest.mark.parametrize(("cores", "others", "share"), [(2, 1.0, 0.02), (8, 1.0, 0.02), (8, 0.8, 0.1), (4, 0.5, 0.25)])
def test_it_takes_half_of_what_is_free_and_little_where_nothing_is(cores: int, others: float, share: float) -> None:
    machine = Machine(cores, others)

    assert taken(machine, machine.restraint()) == pytest.approx(share, rel=0.05)


def test_machine_that_becomes_busy_is_left_to_who_works() -> None:
    machine = Machine(2, 0.0)
    restraint = machine.restraint()

    free = taken(machine, restraint)
    machine.others = 1.0
    busy = taken(machine, restraint)

    assert free == pytest.approx(0.5, rel=0.05)
    assert busy == pytest.approx(0.02, rel=0.05)


def test_nothing_is_taken_for_free_before_anything_is_known() -> None:
    machine = Machine(2, 0.0)
    restraint = machine.restraint()

    machine.work(0.02)
    restraint.rest()

    assert machine.rests == [pytest.approx(rest_s(0.02, 2, share_of(0.0)))]


def test_rest_is_as_long_as_asked_for_when_there_was_no_work() -> None:
    machine = Machine(2, 0.0)
    restraint = machine.restraint()

    restraint.rest(0.25)
    restraint.rest()

    assert machine.rests == [0.25]


def test_what_is_done_in_a_rest_is_no_debt() -> None:
    machine = Machine(2, 1.0)
    restraint = machine.restraint()
    machine.worked += 5.0
    restraint.rest()

    restraint.rest()

    assert len(machine.rests) == 1
