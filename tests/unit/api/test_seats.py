"""Tests of the places for requests that are answered at once."""

from __future__ import annotations

import pytest

from taskexec.api.problems import Problem
from taskexec.api.seats import Seat, Seats


def refusal(seats: Seats, address: str, *, shows_token: bool = True) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        seats.take(address, shows_token=shows_token)
    return caught.value.status_code, caught.value.code


def fill(seats: Seats, count: int, token: str) -> list[Seat]:
    """Take places for a token, each from another address."""
    taken = [seats.take(f"10.0.0.{number}", shows_token=True) for number in range(count)]
    for seat in taken:
        seat.admit(token)
    return taken


def test_strangers_of_one_address_leave_room_for_those_with_a_token() -> None:
    seats = Seats(100)
    taken = [seats.take("a", shows_token=False) for _ in range(10)]

    assert refusal(seats, "a", shows_token=False) == (429, "rate.at_once")
    seats.take("b", shows_token=False)
    seats.take("a", shows_token=True)
    taken[0].leave()
    seats.take("a", shows_token=False)


def test_address_with_tokens_that_nobody_has_looked_up_has_half() -> None:
    seats = Seats(100)
    for _ in range(50):
        seats.take("a", shows_token=True)

    assert refusal(seats, "a") == (429, "rate.at_once")


def test_token_has_half_of_the_places_from_wherever_it_comes() -> None:
    seats = Seats(100)
    taken = fill(seats, 50, "t")
    taken[0].admit("t")  # counted once
    further = seats.take("a", shows_token=True)

    with pytest.raises(Problem) as caught:
        further.admit("t")

    assert (caught.value.status_code, caught.value.code) == (429, "rate.at_once")
    further.admit("other")
    taken[0].leave()
    seats.take("a", shows_token=True).admit("t")


def test_streams_leave_a_quarter_to_other_requests() -> None:
    seats = Seats(100)
    taken = fill(seats, 50, "t") + fill(seats, 26, "u")
    for seat in taken[:75]:
        seat.begin_stream()

    with pytest.raises(Problem) as caught:
        taken[75].begin_stream()

    assert (caught.value.status_code, caught.value.code) == (503, "server.busy")
    taken[0].leave()
    taken[75].begin_stream()


def test_all_places_are_all_places_and_come_back() -> None:
    seats = Seats(10)
    taken = fill(seats, 5, "t") + fill(seats, 5, "u")
    taken[0].begin_stream()

    assert refusal(seats, "a") == (503, "server.busy")
    for seat in taken:
        seat.leave()
    assert (seats.taken, seats.streams, seats.admitted, seats.unknown) == (0, 0, {}, {})
