"""The layout of a gang, as its ranks are told."""

from __future__ import annotations

from taskexec.domain.gang import Layout

LAYOUT = Layout(("10.0.0.2", "10.0.0.1", "10.0.0.2"), 4711)


def test_rank_is_told_its_place_among_all_and_on_its_host() -> None:
    assert LAYOUT.variables(2) == {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "MASTER_ADDR": "10.0.0.2",
        "MASTER_PORT": "4711",
        "TEK_HOSTS": "10.0.0.2,10.0.0.1,10.0.0.2",
    }


def test_hosts_are_counted_in_the_order_of_their_first_ranks() -> None:
    assert LAYOUT.variables(1)["NODE_RANK"] == "1"
    assert LAYOUT.hostfile() == "10.0.0.2 slots=2\n10.0.0.1 slots=1\n"
