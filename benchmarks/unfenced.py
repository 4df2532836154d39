"""A worker without fence, leases, log and signatures: what the real one is measured beside. Started by `fence.py`.

It is the product with parts taken out of its scripts: a claim gives whatever is asked for, a completion is believed, no
state, lease or log line is kept, nothing is signed or checked, nothing is given back. What is left is what any queue of
a graph has to do: take messages, look up what to do, hand results on, count down latches, publish what became ready,
keep Celery's results.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import taskexec.runtime.authority as authority
import taskexec.runtime.carrier as carrier
import taskexec.store.connection as connection

__all__ = ["leave_out_the_fence"]

_CUTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "reap": (("local worker, lease, record = ", "if true then return {0, 0, -1} end\nlocal worker, lease, record = "),),
    "prelude": (
        (
            "local function line(letter, index, attempt, rest)\n",
            "local function line() end\nlocal function _(letter, index, attempt, rest)\n",
        ),
        ("local function set_states(pairs_list)\n", "local function set_states() end\nlocal function _(pairs_list)\n"),
        ("  sliced(times, function(slice) redis.call('ZADD', K.queued, unpack(slice)) end)\n", ""),
    ),
    "claim": (
        ("  local fresh = state == 'Q' .. attempt\n", "  local fresh = true\n"),
        ("redis.call('ZREM', K.queued, unpack(claimed))\nredis.call('ZADD', K.lease, unpack(leases))\n", ""),
    ),
    "complete": (
        (
            "  elseif current[at] ~= 'R' .. attempt or redis.call('ZREM', K.lease, member .. '|' .. token) == 0 then\n",
            "  elseif false then\n",
        ),
        ("      line('S', index, attempt, record)\n", ""),
    ),
}


def _cut(name: str, text: str) -> str:
    for old, new in _CUTS.get(name, ()):
        assert text.count(old) == 1, f"{name}.lua has changed: {old!r}"
        text = text.replace(old, new)
    return text


def leave_out_the_fence() -> None:
    """Have this process use scripts without fence and log, and sign and check nothing."""
    folder = connection.resources.files("taskexec.store").joinpath("lua")
    prelude = _cut("prelude", folder.joinpath("prelude.lua").read_text())

    def source(name: str) -> str:
        return f"{prelude}\n{_cut(name, folder.joinpath(name + '.lua').read_text())}"

    # replaced in this process only, on purpose and behind the types: the product has no switch that leaves these out
    connection._source = source  # type: ignore[assignment]
    authority.Authority.seal = lambda self, run_id, records: None  # type: ignore[method-assign]
    carrier.Carrier.renew = lambda self: None  # type: ignore[method-assign]
    carrier.Carrier.tend = lambda self, encode: self.complete_done(encode)  # type: ignore[method-assign]
    authority.Warrant.refusals = lambda self, members: {}  # type: ignore[method-assign]


if __name__ == "__main__":
    from taskexec.cluster.worker_process import main

    leave_out_the_fence()
    sys.exit(main())
