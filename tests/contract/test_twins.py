"""Any sequence of steps does the same on the memory twin and on a server, and breaks no promise of the latch."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from support.twins import Twins
from support.waiting import wait_until

from taskexec.store.connection import Connection, keep_trying
from taskexec.store.embedded import EmbeddedServer, ServerProgram


class Restarts(Twins):
    """The same, on a server that is killed and started again on its data between any two steps."""

    server: EmbeddedServer

    @rule(really=st.sampled_from([False, False, True]))
    def restart(self, really: bool) -> None:
        if really:
            assert self.server.pid is not None
            os.kill(self.server.pid, signal.SIGKILL)
            wait_until(self.server.tend, "the server to be started again")
            keep_trying(lambda: self.connection.call("PING"))


@pytest.mark.timeout(600)  # making a failure small takes minutes
def test_any_steps_do_the_same_on_both_stores(connection: Connection) -> None:
    machine = type("TwinsOnThisServer", (Twins,), {"connection": connection})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.timeout(600)
def test_any_steps_do_the_same_through_deaths_of_the_server(server_program: ServerProgram, tmp_path: Path) -> None:
    with EmbeddedServer(server_program, tmp_path) as server:
        connection = Connection(server.url)
        machine = type("RestartsOfThisServer", (Restarts,), {"connection": connection, "server": server})

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        connection.close()
