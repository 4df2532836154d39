"""The contract of evidence in chunks: within what a run may leave, in one order, and only of runs that are there."""

from __future__ import annotations

from collections.abc import Callable

from support.plays import Play

StartRun = Callable[..., Play]


def append(play: Play, data: bytes, offset: int = 0) -> bool:
    fields = {"i": 0, "a": 1, "f": "stdout.log", "o": offset, "d": data}
    return play.store.append_output(play.run_id, fields)


def kept(play: Play) -> list[bytes]:
    return [fields["d"] for _, fields in play.store.read_output(play.run_id)]


def test_chunks_are_kept_up_to_the_limit_of_the_run(run: StartRun) -> None:
    play = run((), output_limit_bytes=10)

    taken = [append(play, b"12345"), append(play, b"67890", 5), append(play, b"x", 10)]

    assert taken == [True, True, False]
    assert kept(play) == [b"12345", b"67890"]


def test_chunk_that_passes_the_limit_is_dropped_and_a_smaller_one_still_fits(run: StartRun) -> None:
    play = run((), output_limit_bytes=10)

    taken = [append(play, b"12345678"), append(play, b"123"), append(play, b"12")]

    assert taken == [True, False, True]
    assert kept(play) == [b"12345678", b"12"]


def test_runs_do_not_share_their_limit(run: StartRun) -> None:
    one, other = run((), output_limit_bytes=5), run((), output_limit_bytes=5)
    append(one, b"12345")

    assert append(other, b"12345")


def test_chunk_of_a_run_that_is_gone_is_nobodys_loss(run: StartRun) -> None:
    play = run(())
    play.run_id = "gone"

    assert append(play, b"x")
    assert kept(play) == []
