"""Every key in Redis: its name, owner, type and lifetime.

Keys of a run share the hash tag `{<run>}` and the prefix that the scripts receive; the names behind the prefix
are those of the table `K` in `lua/prelude.lua` (a test holds the two against each other).

| key | type | holds | lifetime |
|---|---|---|---|
| `tek:{R}:meta` | hash | counters, settings and measured durations of the run | until `retention_s` after the end |
| `tek:{R}:state` | hash | task index -> state letter and attempt (absent: waiting) | the same |
| `tek:{R}:pending` | hash | task index -> dependencies not yet succeeded: the latch | the same |
| `tek:{R}:successors` | hash | task index -> indexes that depend on it, comma-separated | the same |
| `tek:{R}:task` | hash | task index -> dispatch record (list, route, agent, label) | the same |
| `tek:{R}:policy` | hash | task index -> when it is tried again, its time: JSON (absent: never, no limit) | the same |
| `tek:{R}:spec` | hash | task index -> dependency indexes, newline, JSON for the agent | the same |
| `tek:{R}:lost` | hash | task index -> attempts lost with their worker | the same |
| `tek:{R}:tried` | hash | task index -> attempts in earlier lives of it; numbers go on from there | the same |
| `tek:{R}:first` | hash | task index -> server time (µs) of its first start, if it has a total timeout | the same |
| `tek:{R}:starved` | hash | task index -> attempts that ran out of memory, where that changes the next one | the same |
| `tek:{R}:reused` | hash | task index -> JSON: from which run it was taken over | the same |
| `tek:{R}:result` | hash | task index -> JSON value for dependents | the same |
| `tek:{R}:queued:<route>` | zset | task index -> server time (µs) it was queued, if it needs a slot | while queued |
| `tek:{R}:backlog:<route>` | zset | task index -> rank, of such tasks that may be queued once fewer are | while held |
| `tek:{R}:ask` | hash | task index -> what it asks for (`fit.Ask`); absent: a slot | the same |
| `tek:{R}:rank` | hash | task index -> its place in the order of the run (absent: its index) | the same |
| `tek:{R}:wanting` | zset | task index -> rank, of tasks that wait to be placed | while held |
| `tek:{R}:wide` | zset | the widest of them: task index -> minus its size | while held |
| `tek:{R}:wanted` | hash | task index -> since when (µs), tasks started by then, times its memory | while held |
| `tek:{R}:placed` | hash | task index -> attempt, amounts, workers and GPUs of each rank | the same |
| `tek:{R}:assigned` | zset | task index -> server time (µs) it was placed | until it is claimed |
| `tek:{R}:where` | hash | task index -> worker that performed it, in runs with tasks that are placed | the same |
| `tek:{R}:gang` | hash | `index:rank` -> attempt, token and whereabouts of a rank that has begun | while it works |
| `tek:{R}:delayed` | zset | task index -> server time (µs) at which its next attempt is due | while held |
| `tek:{R}:suspects` | zset | task index -> server time (µs) since which it waits to be on trial | while held |
| `tek:{R}:lease` | zset | `index|attempt|worker/delivery` -> server time (µs) the lease lapses | while running |
| `tek:{R}:log` | stream | transitions in one order (format: `lua/prelude.lua`) | as meta |
| `tek:{R}:output` | stream | evidence above the inline limit, in chunks | as meta |
| `tek:{R}:plan` | string | zlib-compressed `plan.json` | as meta |
| `tek:{R}:canvas` | string | zlib-compressed `canvas.json` | as meta |
| `tek:{R}:leaves` | string | 32 bytes a task: what the submitter signed of its spec (`domain/proof.py`) | as meta |
| `tek:{R}:blocks` | string | 32 bytes for each 256 leaves | as meta |
| `tek:active` | set | runs that are started and not ended | for ever |
| `tek:runs` | zset | run -> submission time (µs) | trimmed when listed |
| `tek:submission:<sha256>` | string | JSON: run and plan digest that a submission key stands for | `retention_s` |
| `tek:tokens` | hash | id of a token of the API -> JSON: whom it stands for, SHA-256 of its secret | for ever |
| `tek:session:<sha256>` | string | id of the token with which a browser has logged in | `api.session_s` |
| `tek:answer:<sha256>` | string | JSON: a request with a key, and what was answered to it | `retention_s` |
| `tek:told:<sha256>` | string | who tells a target something of a run; `told` once that was done | `retention_s` |
| `tek:audit` | stream | what was asked of the API to be changed, by whom, and what came of it | the last 100,000 |
| `tek:audit:access` | stream | logins at the API, and what it refused to callers of too low a role | the last 10,000 |
| `tek:slots` | hash | route -> slots of live workers, rewritten by every caretaker | for ever |
| `tek:workers` | zset | worker -> server time (s) its registration lapses | trimmed by every caretaker |
| `tek:worker:<name>` | string | JSON of a worker's registration | a lease and a half |
| `tek:joined` | zset | worker -> number, in the order in which they joined | while it is there |
| `tek:joins` | string | the last such number | for ever |
| `tek:traits` | hash | worker -> its traits (`fit.traits_of`), between blanks | while it is there |
| `tek:total`, `tek:free` | hash | worker -> all that it has, and what is left (`domain/fit.py`) | while it is there |
| `tek:sum` | string | cores, memory and GPUs of all workers, and since when (µs) | for ever |
| `tek:holds:<worker>` | hash | `run:index:attempt:rank`, or token of a delivery -> what it takes | a day when away |
| `tek:earmarks` | hash | worker -> the task it is kept for, and what that will take | until that is placed |
| `tek:wanting` | zset | runs with tasks that wait to be placed -> since (µs) | while there are some |
| `tek:used` | hash | run, user and tag -> share of the cluster it holds, in millionths | while it holds some |
| `tek:slot` | hash | worker -> vector of what takes a slot (empty: it takes nothing new) | while it is there |
| `tek:weights` | hash | user or tag -> weight | for ever |
| `tek:wishes` | hash | worker -> `cordoned` or `draining`, as somebody wished | while it is there |
| `tek:starving` | string | routes on which a task that needs nothing waits too long | for ever |
| `tek:lapsed` | string | server time (s) at which lapsed registrations were last looked for | for ever |
| `tek:calm` | string | there while none of them counts as lapsed | a registration's lifetime |
| `tek:started` | string | tasks started while others waited to be placed | for ever |
| `tek:metrics` | hash | counter (`domain/counts.py`) -> what was counted since the server began | for ever |
| `tek:durations` | hash | phase, agent and bucket (`store/durations.py`) -> how many lasted so long | for ever |
| `tek:measured` | hash | run -> id of the last entry of its log that counts there | while the server knows it |
| `tek:waiters` | hash | worker -> its slots that found no room | until there is some |
| `tek:wake:<worker>` | list | one element for each of them once there is room | 5 s |
| `tek:bell:<token>` | stream | words to the delivery of a rank (`runtime/gang.py`) | until it is over, 1 h |
| `tek.<worker>` | list | messages of what was placed on a worker | while it is there |
| `tek:fetch:<spool>` | list | requests for pieces of large files that a host keeps | a minute |
| `tek:fetched:<reader>` | list | pieces of a file on their way to a reader | a minute |
| `celery-task-meta-<id>` | string | Celery's result of a task (`<run>.<index>`) | `retention_s` |
| `cpu`, `gpu`, `distributed` (and `<name>\\x06\\x16<n>`) | list | kombu's queues | while not empty |
"""

from __future__ import annotations

import hashlib

__all__ = [
    "ACTIVE",
    "AUDIT",
    "AUDIT_ACCESS",
    "CALM",
    "DURATIONS",
    "EARMARKS",
    "FREE",
    "JOINED",
    "LAPSED_AT",
    "MEASURED",
    "METRICS",
    "NO_RUN",
    "RUNS",
    "RUN_KEYS",
    "SLOTS",
    "STARTED",
    "TOKENS",
    "TOTAL",
    "TRAITS",
    "USED",
    "WANTING",
    "WEIGHTS",
    "WISHES",
    "WORKERS",
    "answer_key",
    "bell_key",
    "direct_key",
    "fetch_key",
    "fetched_key",
    "holds_key",
    "run_key",
    "run_prefix",
    "session_key",
    "told_key",
    "wake_key",
    "worker_key",
]

ACTIVE = "tek:active"
RUNS = "tek:runs"
SLOTS = "tek:slots"
WORKERS = "tek:workers"
JOINED = "tek:joined"
TRAITS = "tek:traits"
TOTAL = "tek:total"
FREE = "tek:free"
EARMARKS = "tek:earmarks"
WANTING = "tek:wanting"
USED = "tek:used"
WEIGHTS = "tek:weights"
WISHES = "tek:wishes"
LAPSED_AT = "tek:lapsed"
CALM = "tek:calm"
STARTED = "tek:started"
METRICS = "tek:metrics"
DURATIONS = "tek:durations"
MEASURED = "tek:measured"
TOKENS = "tek:tokens"
AUDIT = "tek:audit"
AUDIT_ACCESS = "tek:audit:access"
NO_RUN = "tek:{}"
"""Prefix for scripts that are not about one run."""

RUN_KEYS = frozenset(
    {
        "meta",
        "state",
        "pending",
        "successors",
        "task",
        "spec",
        "lost",
        "result",
        "policy",
        "tried",
        "first",
        "starved",
        "reused",
        "leaves",
        "blocks",
        "delayed",
        "suspects",
        "queued:cpu",
        "queued:gpu",
        "queued:distributed",
        "backlog:cpu",
        "backlog:gpu",
        "backlog:distributed",
        "ask",
        "rank",
        "wanting",
        "wide",
        "wanted",
        "placed",
        "assigned",
        "where",
        "gang",
        "lease",
        "log",
        "output",
        "plan",
        "canvas",
    }
)
"""The names of a run's keys behind its prefix."""


def run_prefix(run_id: str) -> str:
    """Return the prefix of all keys of a run."""
    return f"tek:{{{run_id}}}"


def run_key(run_id: str, name: str) -> str:
    """Return one key of a run; `name` is one of `RUN_KEYS`."""
    assert name in RUN_KEYS, name
    return f"{run_prefix(run_id)}:{name}"


def bell_key(token: str) -> str:
    """Return the key of the words to a delivery."""
    return f"tek:bell:{token}"


def fetch_key(spool: str) -> str:
    """Return the key of the list of requests to a spool."""
    return f"tek:fetch:{spool}"


def fetched_key(reader: str) -> str:
    """Return the key of the list of pieces for a reader."""
    return f"tek:fetched:{reader}"


def submission_key(key: str) -> str:
    """Return the key of what a submission is called by its submitter."""
    return f"tek:submission:{hashlib.sha256(key.encode()).hexdigest()}"


def session_key(secret: str) -> str:
    """Return the key of a browser's session, by the secret in its cookie."""
    return f"tek:session:{hashlib.sha256(secret.encode()).hexdigest()}"


def answer_key(key: str) -> str:
    """Return the key of what was answered to a request with a key of its caller."""
    return f"tek:answer:{hashlib.sha256(key.encode()).hexdigest()}"


def told_key(key: str) -> str:
    """Return the key of who tells a target something of a run, by the name of that."""
    return f"tek:told:{hashlib.sha256(key.encode()).hexdigest()}"


def direct_key(worker: str) -> str:
    """Return the key of the list of messages for one worker."""
    return f"tek.{worker}"


def holds_key(worker: str) -> str:
    """Return the key of what was taken of a worker."""
    return f"tek:holds:{worker}"


def wake_key(worker: str) -> str:
    """Return the key of the list that a worker's slots wait at for room."""
    return f"tek:wake:{worker}"


def worker_key(name: str) -> str:
    """Return the key of a worker's registration."""
    return f"tek:worker:{name}"
