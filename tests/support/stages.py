"""A run store with what surrounds it: its queues, its slots and its time, the same in memory and on a server."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from taskexec.domain.program import Member
from taskexec.domain.resources import Route
from taskexec.store.connection import Connection
from taskexec.store.keys import SLOTS, bell_key, run_key
from taskexec.store.memory import MemoryRunStore
from taskexec.store.nodes import RedisNodes
from taskexec.store.runs import RedisRunStore
from taskexec.testing.clock import ManualClock

__all__ = ["MemoryStage", "Message", "Node", "ServerStage", "Stage"]


@dataclass(frozen=True)
class Message:
    """What a message says."""

    id: str
    members: tuple[Member, ...]


class Node(NamedTuple):
    """A worker as a store sees it."""

    name: str
    traits: frozenset[str]
    total: list[int]
    free: list[int]
    holds: dict[str, list[int]]
    kept_for: str


class Stage(ABC):
    """One store and what a test needs to see and move around it."""

    store: RedisRunStore | MemoryRunStore

    @abstractmethod
    def messages(self, list_key: str) -> list[Message]:
        """Return the messages of a list, oldest first."""

    @abstractmethod
    def take(self, list_key: str) -> Message | None:
        """Take the oldest message off a list."""

    @abstractmethod
    def set_slots(self, route: str, slots: int) -> None:
        """Say how many slots live workers of a route have."""

    @abstractmethod
    def advance(self, run_id: str, seconds: float, *list_keys: str) -> None:
        """Let time pass for a run and for the messages in its lists."""

    @abstractmethod
    def join(self, name: str, traits: Iterable[str], total: Sequence[int]) -> None:
        """Make a worker known."""

    @abstractmethod
    def leave(self, name: str) -> None:
        """Forget a worker."""

    @abstractmethod
    def give_back(self, worker: str, holds: Sequence[str]) -> None:
        """Give back what a worker holds."""

    @abstractmethod
    def place(self) -> int:
        """Place what waits."""

    @abstractmethod
    def nodes(self) -> list[Node]:
        """Return the workers."""

    @abstractmethod
    def used(self) -> dict[str, int]:
        """Return the shares that runs, users and tags hold."""

    @abstractmethod
    def leases(self, run_id: str) -> set[str]:
        """Return the names of the leases that are held."""

    @abstractmethod
    def bell(self, token: str) -> list[str]:
        """Return the words to a delivery that nobody has heard, oldest first."""

    @abstractmethod
    def celery_result(self, key: str) -> bytes | None:
        """Return the Celery result under a key."""


class MemoryStage(Stage):
    """The memory twin and its manual clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store: MemoryRunStore = MemoryRunStore(self.clock)

    def messages(self, list_key: str) -> list[Message]:
        return [Message(message.id, message.members) for message in self.store.queues.get(list_key, [])]

    def take(self, list_key: str) -> Message | None:
        message = self.store.take(list_key)
        return None if message is None else Message(message.id, message.members)

    def set_slots(self, route: str, slots: int) -> None:
        self.store.slots[route] = slots

    def advance(self, run_id: str, seconds: float, *list_keys: str) -> None:
        self.clock.advance(seconds)

    def join(self, name: str, traits: Iterable[str], total: Sequence[int]) -> None:
        self.store.join(name, traits, total)

    def leave(self, name: str) -> None:
        self.store.leave(name)

    def give_back(self, worker: str, holds: Sequence[str]) -> None:
        self.store.give_back(worker, holds)

    def place(self) -> int:
        return self.store.place()

    def nodes(self) -> list[Node]:
        kept = self.store.nodes
        return [
            Node(
                name,
                kept.traits[name],
                total,
                kept.free[name],
                {hold: taken.vector for hold, taken in kept.holds[name].items()},
                kept.earmarks[name][0] if name in kept.earmarks else "",
            )
            for name, total in kept.total.items()
        ]

    def used(self) -> dict[str, int]:
        return dict(self.store.nodes.used)

    def leases(self, run_id: str) -> set[str]:
        return self.store.leases(run_id)

    def bell(self, token: str) -> list[str]:
        return self.store.bells.get(token, [])

    def celery_result(self, key: str) -> bytes | None:
        result = self.store.celery_results.get(key)
        return result.encode() if isinstance(result, str) else result


class ServerStage(Stage):
    """A real server; its clock cannot be moved, so all times that it keeps of a run are moved back instead."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.store: RedisRunStore = RedisRunStore(connection)

    def messages(self, list_key: str) -> list[Message]:
        return [_parse(raw) for raw in reversed(self.connection.call("LRANGE", list_key, 0, -1))]

    def take(self, list_key: str) -> Message | None:
        raw = self.connection.call("RPOP", list_key)
        return None if raw is None else _parse(raw)

    def set_slots(self, route: str, slots: int) -> None:
        self.connection.call("HSET", SLOTS, route, slots)

    def advance(self, run_id: str, seconds: float, *list_keys: str) -> None:
        move_us = round(seconds * 1e6)
        commands: list[tuple[Any, ...]] = []
        for name in ("lease", "delayed", "assigned", *(f"queued:{route}" for route in Route)):
            key = run_key(run_id, name)
            commands += [("ZINCRBY", key, -move_us, member) for member in self.connection.call("ZRANGE", key, 0, -1)]
        key = run_key(run_id, "wanted")
        for index in self.connection.call("HKEYS", key):
            since, rest = self.connection.call("HGET", key, index).split(b" ", 1)
            commands.append(("HSET", key, index, b"%d %s" % (int(since) - move_us, rest)))
        key = run_key(run_id, "first")
        commands += [("HINCRBY", key, index, -move_us) for index in self.connection.call("HKEYS", key)]
        for name in ("reaped_us", "calm_us", "deadline_us"):
            if self.connection.call("HEXISTS", run_key(run_id, "meta"), name):
                commands.append(("HINCRBY", run_key(run_id, "meta"), name, -move_us))
        for list_key in list_keys:
            for position, raw in enumerate(self.connection.call("LRANGE", list_key, 0, -1)):
                commands.append(("LSET", list_key, position, _aged(raw, move_us)))
        if commands:
            self.connection.pipeline(commands)

    def join(self, name: str, traits: Iterable[str], total: Sequence[int]) -> None:
        RedisNodes(self.connection).join(name, traits, total)

    def leave(self, name: str) -> None:
        RedisNodes(self.connection).leave(name)

    def give_back(self, worker: str, holds: Sequence[str]) -> None:
        RedisNodes(self.connection).give_back(worker, holds)

    def place(self) -> int:
        return RedisNodes(self.connection).place()

    def nodes(self) -> list[Node]:
        return [
            Node(view.name, view.traits, view.total, view.free, {h.name: h.vector for h in view.holds}, view.kept_for)
            for view in RedisNodes(self.connection).views()
        ]

    def used(self) -> dict[str, int]:
        return RedisNodes(self.connection).used()

    def leases(self, run_id: str) -> set[str]:
        return {name.decode() for name in self.connection.call("ZRANGE", run_key(run_id, "lease"), 0, -1)}

    def bell(self, token: str) -> list[str]:
        return [fields[b"w"].decode() for _, fields in self.connection.call("XRANGE", bell_key(token), "-", "+")]

    def celery_result(self, key: str) -> bytes | None:
        result: bytes | None = self.connection.call("GET", key)
        return result


def _parse(raw: bytes) -> Message:
    headers = orjson.loads(raw)["headers"]
    return Message(headers["id"], tuple(Member(*pair) for pair in headers["tek"]["members"]))


def _aged(raw: bytes, move_us: int) -> bytes:
    return re.sub(rb'("tek_at":)(\d+)', lambda found: found[1] + str(int(found[2]) - move_us).encode(), raw)
