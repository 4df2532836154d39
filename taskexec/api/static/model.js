// What the page knows of a run: its graph, what became of every task, and when.

import { isFinal, isRunFinal } from "./status.js";

const DONE = "SP";

export class RunModel {
  constructor(graph) {
    this.runId = graph.run_id;
    this.plan = graph.plan;
    this.ids = graph.ids;
    this.titles = graph.titles;
    this.lanes = graph.lanes;
    this.lane = graph.lane;
    this.routes = graph.routes;
    this.route = graph.route;
    this.level = graph.level;
    this.deps = graph.deps;
    this.expected = graph.duration_s;
    this.critical = graph.critical ?? [];
    this.size = graph.ids.length;
    this.levels = this.level.reduce((most, level) => Math.max(most, level + 1), 0);
    this.indexOf = new Map(graph.ids.map((id, index) => [id, index]));
    this.dependents = this.ids.map(() => []);
    this.deps.forEach((before, index) => before.forEach((other) => this.dependents[other].push(index)));
    this.status = new Array(this.size).fill("w");
    this.attempts = this.ids.map(() => null);
    this.ready = new Array(this.size).fill(null);
    this.reason = new Array(this.size).fill(null);
    this.counts = {};
  }

  /** Take in the timeline: everything so far. */
  load(timeline) {
    this.lastId = timeline.last_id;
    this.originMs = timeline.origin_ms;
    this.workers = [...timeline.workers];
    this.status = [...timeline.statuses];
    this.ready = [...timeline.ready];
    this.attempts = this.ids.map(() => null);
    this.reason = new Array(this.size).fill(null);
    this.endedMs = timeline.ended_ms;
    this.startedMs = timeline.started_ms;
    for (const row of timeline.attempts) this.#takeAttempt(row, row[6]);
    this.#open = this.deps.map((before) => before.reduce((sum, other) => sum + !DONE.includes(this.status[other]), 0));
    this.#takeSummary(timeline, this.#relative(timeline.now_ms));
  }

  /** Take in an event of changes; return the tasks that changed. */
  apply(changes) {
    const changed = new Set();
    const atMs = this.#relative(changes.at_ms);
    for (const row of changes.attempts ?? []) {
      this.#takeAttempt(row, this.#workerNumber(row[6]));
      changed.add(row[0]);
    }
    for (const [index, letter, , , reason, ready] of changes.tasks ?? []) {
      const before = this.status[index];
      this.status[index] = letter;
      if (reason) this.reason[index] = reason;
      this.#countDown(index, before, letter, atMs);
      if (ready !== undefined) this.ready[index] = ready;
      changed.add(index);
    }
    if (changes.started_ms !== undefined) this.startedMs = changes.started_ms;
    if (changes.ended_ms !== undefined) this.endedMs = changes.ended_ms;
    this.#takeSummary(changes, atMs);
    if (this.isFinal && this.endedMs === null) this.endedMs = atMs;
    if (!this.isFinal) this.endedMs = null;
    if (this.startedMs === null && this.runStatus === "running") this.startedMs = atMs;
    return changed;
  }

  /** Milliseconds since the origin, by the server's clock; stands still when the run has ended. */
  get nowMs() {
    if (this.isFinal && this.endedMs !== null) return this.endedMs;
    return this.#serverMs + (performance.now() - this.#seenAt);
  }

  get isFinal() {
    return isRunFinal(this.runStatus);
  }

  get done() {
    return ["succeeded", "satisfied", "failed", "skipped", "cancelled"].reduce((sum, name) => sum + (this.counts[name] ?? 0), 0);
  }

  /** The last attempt at a task, or null. */
  last(index) {
    const attempts = this.attempts[index];
    return attempts ? attempts[attempts.length - 1] : null;
  }

  /** Seconds that the last attempt at a task took, or has taken so far; null before it was claimed. */
  seconds(index) {
    const attempt = this.last(index);
    if (!attempt || attempt.claimed === null) return null;
    return ((attempt.finished ?? this.nowMs) - (attempt.started ?? attempt.claimed)) / 1000;
  }

  workerOf(index) {
    const attempt = this.last(index);
    return attempt && attempt.worker >= 0 ? this.workers[attempt.worker] : null;
  }

  failed() {
    const found = [];
    for (let index = 0; index < this.size; index += 1) if (this.status[index] === "F") found.push(index);
    return found;
  }

  /** Tasks whose id, title or lane has all words of a text. */
  find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const found = [];
    for (let index = 0; index < this.size; index += 1) {
      const whole = `${this.ids[index]}\n${this.titles[index] ?? ""}\n${this.lanes[this.lane[index]] ?? ""}`.toLowerCase();
      if (words.every((word) => whole.includes(word))) found.push(index);
    }
    return found;
  }

  #open = [];
  #serverMs = 0;
  #seenAt = 0;

  #relative(ms) {
    return ms > 1e11 ? ms - this.originMs : ms;
  }

  #workerNumber(worker) {
    if (typeof worker === "number") return worker;
    if (!worker) return -1;
    const at = this.workers.indexOf(worker);
    return at >= 0 ? at : this.workers.push(worker) - 1;
  }

  #takeAttempt([index, number, queued, claimed, started, finished, , outcome, reason], worker) {
    const attempt = { number, queued, claimed, started, finished, worker, outcome, reason };
    const all = (this.attempts[index] ??= []);
    let at = all.length - 1;
    while (at >= 0 && !(all[at].number === number && (all[at].queued === queued || all[at].queued === null))) at -= 1;
    if (at >= 0) all[at] = attempt;
    else all.push(attempt);
    if (reason) this.reason[index] = reason;
  }

  #countDown(index, before, after, atMs) {
    const step = DONE.includes(before) - DONE.includes(after);
    if (step) {
      for (const other of this.dependents[index]) {
        this.#open[other] += step;
        if (step < 0 && this.#open[other] === 0 && !isFinal(this.status[other])) this.ready[other] = atMs;
      }
    }
    if (after === "w" && isFinal(before)) this.ready[index] = this.#open[index] ? null : atMs;
  }

  #takeSummary(said, atMs) {
    if (said.counts) this.counts = said.counts;
    if (said.status) this.runStatus = said.status;
    this.rate = said.rate_per_s ?? null;
    this.leftS = said.left_s ?? null;
    this.eta = said.eta ?? null;
    this.summaryAt = performance.now();
    this.#serverMs = atMs;
    this.#seenAt = performance.now();
  }
}
