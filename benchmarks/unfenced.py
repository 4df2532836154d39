"""A worker without fence, leases, log and signatures: what the real one is measured beside. Started by `fence.py`.

It is the product with parts taken out of its scripts: a claim gives whatever is asked for, a completion is believed, no
state, lease or log line is kept, nothing is signed or checked. What is left is what any queue of a graph has to do:
take messages and a slot, look up what to do, hand results on, count down latches, publish what became ready as far as
the window of the run goes, keep Celery's results.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import taskexec.runtime.authority as authority
import taskexec.runtime.carrier as carrier
import taskexec.store.connection as connection

__all__ = ["cut_sources", "leave_out_the_fence"]

_CUTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "reap": (("local worker, lease, record = ", "if true then return {0, 0, -1} end\nlocal worker, lease, record = "),),
    "prelude": (
        (
            "local function line(letter, index, attempt, rest)\n",
            "local function line() end\nlocal function _(letter, index, attempt, rest)\n",
        ),
    ),
    "attempts": (("  set_states(states)\n  for route, list in pairs(times)", "  for route, list in pairs(times)"),),
    "claim": (
        ("  local fresh = state == 'Q' .. attempt\n", "  local fresh = true\n"),
        ("set_states(states)\nlocal removed = ", "local removed = "),
        ("redis.call('ZADD', K.lease, unpack(leases))\n", ""),
    ),
    "complete": (
        ("local current, following = fetch(K.state, indexes), ", "local current, following = {}, "),
        (
            "  elseif current[at] ~= 'R' .. attempt or redis.call('ZREM', K.lease, member .. '|' .. token) == 0 then\n",
            "  elseif false then\n",
        ),
        ("set_states(states)\nsliced(results, ", "sliced(results, "),
    ),
}


def _cut(name: str, text: str) -> str:
    for old, new in _CUTS.get(name, ()):
        assert text.count(old) == 1, f"{name}.lua has changed: {old!r}"
        text = text.replace(old, new)
    return text


def cut_sources() -> tuple[str, Mapping[str, str]]:
    """Return what stands in front of the scripts, and each of them by name, without the fence.

    Raises:
        AssertionError: The scripts have changed, and what is taken out of them has to.
    """
    folder = connection.resources.files("taskexec.store").joinpath("lua")
    texts = {path.name.removesuffix(".lua"): path.read_text() for path in folder.iterdir() if path.name.endswith("lua")}
    cut = {name: _cut(name, text) for name, text in texts.items()}
    return "\n".join(cut.pop(name) for name in connection._SHARED), cut


def leave_out_the_fence() -> None:
    """Have this process use scripts without fence and log, and sign and check nothing."""
    # replaced in this process only, on purpose and behind the types: the product has no switch that leaves these out
    connection._sources = cut_sources  # type: ignore[assignment]
    authority.Authority.seal = lambda self, run_id, records: None  # type: ignore[method-assign]
    carrier.Carrier.renew = lambda self: None  # type: ignore[method-assign]
    carrier.Carrier.tend = lambda self, encode: self.complete_done(encode)  # type: ignore[method-assign]
    authority.Warrant.refusals = lambda self, members: {}  # type: ignore[method-assign]


if __name__ == "__main__":
    from taskexec.cluster.worker_process import main

    leave_out_the_fence()
    sys.exit(main())
