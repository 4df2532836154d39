"""A cluster as its users see it: a server, and what is submitted, brought home and looked at there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

from taskexec.cluster.spools import MIB, local_spool
from taskexec.domain.resources import Capacity, Route
from taskexec.errors import ConnectionLost, Fault, NeedsUnmet, PlanRejected
from taskexec.store.connection import Connection
from taskexec.store.runs import RedisRunStore
from taskexec.store.workers import WorkerRegistry

if TYPE_CHECKING:
    from taskexec.completion.keys import Identity
    from taskexec.observability.notify import Notifier
    from taskexec.observability.why import Present, Story
    from taskexec.plan import Plan
    from taskexec.settings import RunSettings, Settings
    from taskexec.submission import Collector, FormerRun, Here, KnownWorker, Submission, Submitter, Takeover

__all__ = ["Cluster", "admit_locally", "is_traced", "takeover_of"]


class Cluster:
    """A server and what is done on it."""

    def __init__(self, url: str, settings: Settings) -> None:
        """Connect to a server.

        Raises:
            UsageError: The address is none.
            ConnectionLost: The server does not answer.
        """
        self.url = url
        self.settings = settings
        self.connection = Connection(url, socket_timeout_s=settings.redis.socket_timeout_s)
        self.connection.ping()
        self.runs = RedisRunStore(self.connection)
        self.workers = WorkerRegistry(self.connection)

    def admit(self, plan: Plan, *, wait_for_workers: bool = False) -> Sequence[Fault]:
        """Check a plan against the workers that are registered, and those that `cluster.expected` names.

        Args:
            plan: The plan.
            wait_for_workers: Accept tasks that none of them could run: workers that can will come.

        Returns:
            What none of those that are registered could run, and is accepted all the same.

        Raises:
            ProtocolUnknown: No worker understands what would be submitted.
            NeedsUnmet: Some tasks could never run.
            PlanRejected: An agent is missing everywhere, or refuses its instructions.
            SettingsRejected: `cluster.expected` has faults, and what is there is not enough for the plan.
        """
        from taskexec.cluster.expected import expected_workers
        from taskexec.submission import KnownWorker, unmet
        from taskexec.submission.versions import understanding

        workers = understanding(self.workers.listed())
        known = [
            KnownWorker(
                worker["name"],
                frozenset(Route(name) for name in worker["classes"]),
                Capacity.from_record(worker["capacity"]),
                frozenset(worker["agents"]),
            )
            for worker in workers
        ]
        find_expected = cache(lambda: expected_workers(self.settings, plan))  # read only where something is missing
        _check_agents(plan, known, find_expected)
        waiting = unmet(plan, known)
        if wait_for_workers or not waiting:
            return waiting
        expected = find_expected()
        faults = unmet(plan, [*known, *expected]) if expected else waiting
        if faults:
            wait = "`tek submit --wait-for-workers` accepts the plan as it is"
            raise NeedsUnmet([*faults[:-1], replace(faults[-1], hint=f"{faults[-1].hint}; {wait}")])
        return waiting

    def present(self, story: Story) -> Present:
        """Return how things stand now, for the answer to why a task of a run stands where it stands."""
        from taskexec.cluster.explaining import LivePresent

        return LivePresent(self.connection, story)

    def names_of(self, story: Story, index: int) -> Mapping[str, str]:
        """Return the tasks of other runs, `run:index`, that the ledger speaks of when it speaks of one task."""
        from taskexec.cluster.explaining import task_names
        from taskexec.store.standings import RedisStandings

        owners = {entry["after"] for entry in story.entries[index] if entry.get("after")}
        return task_names(RedisStandings(self.connection), story, owners)

    @property
    def submitter(self) -> Submitter:
        """Return what submits runs here, and takes them up again, in the user's name."""
        from taskexec.submission import Submitter

        return Submitter(self.runs, self.settings.evidence.runs_dir, lambda: self.identity)

    def submit(
        self,
        plan: Plan,
        *,
        dry_run: bool,
        fail_fast: bool | None = None,
        deadline_at: float | None = None,
        key: str | None = None,
        here: Here | None = None,
        takeover: Takeover | None = None,
        run: RunSettings | None = None,
    ) -> Submission:
        """Compile, store and start a run of a plan that was admitted; other arguments as `Submitter.submit`.

        `run` says how the run behaves, where that is not what the settings say.

        Raises:
            KeyUnusable: The user's key cannot be used; nothing was submitted.
            Refused: The submission key stands for another plan.
            EvidenceUnwritable: The run's folder cannot be made; nothing was submitted.
            ConnectionLost: The server did not answer.
        """
        from taskexec.domain.program import RunOptions
        from taskexec.submission.submitter import user_name

        worker, evidence, run = self.settings.worker, self.settings.evidence, run or self.settings.run
        options = RunOptions(
            fail_fast=run.fail_fast if fail_fast is None else fail_fast,
            dry_run=dry_run,
            batch_max=worker.batch_max,
            batch_target_s=worker.batch_target_s,
            lost_max=worker.max_attempts,
            retention_s=evidence.retention_s,
            timeout_s=run.timeout_s,
            deadline_at=deadline_at,
            output_limit_bytes=evidence.run_limit_mib * MIB,
            user=run.user or user_name(),
            tag=run.tag,
            weight=run.weight,
        )
        return self.submitter.submit(plan, options, key=key, here=here, takeover=takeover)

    @cached_property
    def identity(self) -> Identity:
        """The user's key, which signs what is submitted here; made at first use.

        Raises:
            KeyUnusable: It cannot be made or read, is damaged or open to others.
        """
        from taskexec.completion.keys import KeyFolder

        return KeyFolder(self.settings.security.keys_folder(os.environ)).identity()

    def collector(self, run_id: str, *, tells: bool = True) -> Collector:
        """Return what brings a run home, into the folder of the settings; nobody is told of it unless `tells`.

        Raises:
            NotFound: No such run.
            ConnectionLost: The server did not answer.
            EvidenceUnwritable: Its folder cannot be made, or somebody else writes it.
        """
        from taskexec.submission import Collector

        collector = Collector(run_id, self.runs, self.settings.evidence.runs_dir, spool=local_spool(self.settings))
        if not (is_traced(self.settings) or self.settings.notify.is_wanted):
            return collector
        from taskexec.cluster.herald import listen

        try:
            listen(self, collector, tells=tells)
        except BaseException:
            collector.close(patience_s=0.0)
            raise
        return collector

    @cached_property
    def notifier(self) -> Notifier:
        """What tells whoever the settings name; one for all runs that are brought home here."""
        from taskexec.observability.notify import Notifier
        from taskexec.observability.notify.delivery import policy_of
        from taskexec.store.told import ToldStore

        claims = ToldStore(self.connection, self.settings.evidence.retention_s)
        return Notifier(policy_of(self.settings.notify), attempts=self.settings.notify.attempts, claims=claims)

    def lose_worker(self, name: str) -> None:
        """Release at once what a dead worker held in every active run; what fails here, leases make good later."""
        from taskexec.runtime.attempt import lost_record

        record = lost_record("its worker died", worker=name)
        with contextlib.suppress(ConnectionLost):
            self.workers.remove(name)  # first, so that nothing is placed on it again
            for run_id in self.runs.active():
                self.runs.lose(run_id, [], worker=name, record=record)


def _check_agents(plan: Plan, known: Sequence[KnownWorker], find_expected: Callable[[], Sequence[KnownWorker]]) -> None:
    """Check that the agents of a plan are here, on workers that are known, or else on those that are expected."""
    from taskexec.agents import AgentRegistry, check_agents

    def agents_of(workers: Sequence[KnownWorker]) -> set[str]:
        return {name for worker in workers for name in worker.agents or ()}

    try:
        check_agents(plan, AgentRegistry(), elsewhere=agents_of(known))
    except PlanRejected as error:
        if all(fault.code != "agent.missing" for fault in error.faults()) or not (expected := find_expected()):
            raise
        check_agents(plan, AgentRegistry(), elsewhere=agents_of([*known, *expected]))


def is_traced(settings: Settings) -> bool:
    """Return whether runs may be traced."""
    from taskexec.observability.tracing import TracePolicy

    trace = settings.trace
    return TracePolicy.of(trace.endpoint, trace.sample_ratio, trace.timeout_s, os.environ) is not None


def takeover_of(plan: Plan, former: FormerRun, settings: Settings) -> Takeover:
    """Return what a plan can take over from an earlier run, by the declared inputs as they are here now."""
    from taskexec.runtime.declared import DeclaredMissing, digests_of, find_declared
    from taskexec.submission import Takeover

    def digests(patterns: Sequence[str]) -> dict[str, str] | None:
        try:
            return digests_of(find_declared(patterns, "input"))
        except DeclaredMissing:
            return None

    with contextlib.chdir(settings.worker.project_dir):
        return Takeover.of(plan, former, digests)


def admit_locally(plan: Plan, capacity: Capacity) -> None:
    """Check a plan against this machine, as `tek run` and `--dry-run` do before a worker exists.

    Raises:
        NeedsUnmet: Some tasks could never run here.
        PlanRejected: An agent is missing or refuses its instructions.
    """
    from taskexec.agents import AgentRegistry, check_agents
    from taskexec.submission import KnownWorker, admit

    check_agents(plan, AgentRegistry())
    admit(plan, [KnownWorker("this machine", frozenset(Route), capacity)])
