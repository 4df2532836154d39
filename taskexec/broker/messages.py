"""The Celery message (protocol 2) of an attempt or a batch, as a template that the scripts fill in.

A message names run, tasks and attempts only; it stays under 1 kB whatever the graph. Kinds are bounded in
number and stand in the task name; what differs from task to task stands in the arguments that people see.
"""

from __future__ import annotations

import orjson

from taskexec.domain.protocol import PROTOCOL

__all__ = ["ATTEMPT_TASK", "BATCH_TASK", "HEADER", "RANK_TASK", "message_template"]

ATTEMPT_TASK = "tek.attempt"
"""Name of the Celery task that performs one attempt; `lua/prelude.lua` writes it too."""

BATCH_TASK = "tek.batch"
"""Name of the Celery task that performs a batch; `lua/prelude.lua` writes it too."""

RANK_TASK = "tek.rank"
"""Name of the Celery task that performs a rank above 0 of a distributed attempt; `lua/prelude.lua` writes it too."""

HEADER = "tek"
"""Message header: version (`v`), run, members, queue time; a message without it is an ordinary Celery message."""

_ID, _KIND, _LABEL, _MEMBERS, _AT, _ROUTE, _TASK = "\1\2\3\4\5\6\7"


def message_template(run_id: str) -> str:
    """Return the message of a run with the markers of `lua/prelude.lua` in it.

    The markers are control characters, which cannot stand in JSON otherwise: \\1 Celery id, \\2 agent, \\3 label,
    \\4 members, \\5 time queued, \\6 route, \\7 Celery task.
    """
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    headers = {
        "lang": "py",
        "task": "@TASK@",
        "id": "@ID@",
        "root_id": run_id,
        "parent_id": None,
        "group": None,
        "shadow": "tek.@KIND@",
        "argsrepr": "@LABEL@",
        "kwargsrepr": f"run={run_id}",
        "retries": 0,
        "timelimit": [None, None],
        "eta": None,
        "expires": None,
        "origin": "taskexec",
        "ignore_result": False,
        HEADER: {"v": PROTOCOL, "run": run_id, "members": ["@MEMBERS@"], "tek_at": "@AT@"},
    }
    message = {
        "body": orjson.dumps([[], {}, embed]).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": "@ID@",
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "@ROUTE@"},
            "priority": 0,
            "body_encoding": None,
            "delivery_tag": "@ID@",
        },
    }
    text = orjson.dumps(message).decode()
    quoted = {'"@MEMBERS@"': _MEMBERS, '"@AT@"': _AT}
    plain = {"@ID@": _ID, "@KIND@": _KIND, "@LABEL@": _LABEL, "@ROUTE@": _ROUTE, "@TASK@": _TASK}
    for marker, character in (quoted | plain).items():
        text = text.replace(marker, character)
    return text
