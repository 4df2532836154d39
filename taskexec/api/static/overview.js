// Where a run stands: status, counts, rate, time left, and what failed, first.

import { byId, el, replace, setText } from "./dom.js";
import { count, duration, instant, plural, rate, stopwatch } from "./format.js";
import { countText, fillBar, given, runPill } from "./parts.js";
import { RUN_SIGNS, STATUSES } from "./status.js";

const FAILURES_SHOWN = 12;
const SAID_EVERY_MS = 5000;

export class Overview {
  constructor(model, run, { openTask, filterBy }) {
    Object.assign(this, { model, run, openTask, filterBy });
    this.failureKey = "";
    this.errors = new Map((run.failures ?? []).map((failure) => [failure.task, failure]));
    this.figures = {};
    for (const [name, label] of [["done", "done"], ["running", "running"], ["rate", "rate"], ["elapsed", "elapsed"], ["left", "time left"]]) {
      const value = el("dd", { class: "figure" });
      const note = el("dd", { class: "figure-note" });
      const box = el("div", { class: `figure-box f-${name}` }, el("dt", { text: label }), value, note);
      this.figures[name] = { value, note, box };
      byId("figures").append(box);
    }
    this.legend = {};
    this.#showHead();
  }

  #showHead() {
    const { run, model } = this;
    const name = String(run.plan ?? model.plan ?? "").split(/[\\/]/).pop() || run.run_id;
    replace(byId("run-plan"), given(name, ""));
    setText(byId("run-id"), run.run_id);
    this.name = name;
    const parts = [plural(model.size, "task"), run.user ? `by ${run.user}` : "", run.tag ? `tag ${run.tag}` : "",
      run.submitted_at ? `submitted ${instant(run.submitted_at)}` : "", run.deadline_at ? `deadline ${instant(run.deadline_at)}` : "", run.dry_run ? "dry run" : ""];
    setText(byId("run-facts"), parts.filter(Boolean).join(" · "));
  }

  /** Take in what the API tells of failures. */
  takeFailures(failures) {
    for (const failure of failures ?? []) this.errors.set(failure.task, failure);
    this.failureKey = "";
    this.update();
  }

  /** Whether a failure is shown whose error is not known yet. */
  get lacksErrors() {
    return this.model.failed().slice(0, FAILURES_SHOWN).some((index) => !this.errors.has(this.model.ids[index]));
  }

  update() {
    const { model } = this;
    this.#status();
    this.#bar();
    this.tick();
    setText(this.figures.done.value, count(model.done));
    setText(this.figures.done.note, `of ${count(model.size)}`);
    setText(this.figures.running.value, count(model.counts.running ?? 0));
    const queued = model.counts.queued ?? 0;
    setText(this.figures.running.note, queued ? `${count(queued)} queued` : "");
    setText(this.figures.rate.value, rate(model.rate));
    document.title = `${this.#progress()}${this.name} · taskexec`;
    this.#failures();
    this.#say();
  }

  /** How far it is, for the title of the window. */
  #progress() {
    const { model } = this;
    if (model.isFinal) return `${RUN_SIGNS[model.runStatus] ?? ""} `;
    return model.size ? `${Math.floor((100 * model.done) / model.size)} % ` : "";
  }

  #status() {
    if (this.shownStatus === this.model.runStatus) return;
    this.shownStatus = this.model.runStatus;
    const pill = runPill(this.shownStatus);
    pill.id = "run-status";
    byId("run-status").replaceWith(pill);
  }

  #bar() {
    const { counts, size } = this.model;
    const bar = byId("bar");
    fillBar(bar, counts, size);
    bar.setAttribute("aria-label", `Tasks by status: ${countText(counts)}`);
    for (const { name, sign } of STATUSES) {
      let item = this.legend[name];
      if (!item && !counts[name]) continue;
      if (!item) item = this.legend[name] = this.#legendItem(name, sign);
      item.element.hidden = !counts[name];
      setText(item.number, count(counts[name] ?? 0));
    }
  }

  #legendItem(name, sign) {
    const number = el("b", { class: "num" });
    const button = el("button", { type: "button", class: "chip", title: `Show the tasks that are ${name}`, on: { click: () => this.filterBy(name) } },
      el("i", { class: `swatch b-${name}`, "aria-hidden": "true" }), el("span", { class: `sign t-${name}`, "aria-hidden": "true", text: sign }), number, name);
    const element = el("li", {}, button);
    const order = STATUSES.findIndex((status) => status.name === name);
    element.style.setProperty("order", String(order));
    byId("legend").append(element);
    return { element, number };
  }

  /** What changes with time alone. */
  tick() {
    const { model, figures } = this;
    const begun = model.startedMs;
    setText(figures.elapsed.value, begun === null || begun === undefined ? "–" : stopwatch((model.nowMs - begun) / 1000));
    figures.left.box.hidden = model.isFinal;
    figures.running.box.hidden = model.isFinal;
    if (model.isFinal) {
      setText(figures.elapsed.note, model.originMs ? `ended ${instant(model.originMs + model.endedMs)}` : "");
      return;
    }
    const past = (performance.now() - model.summaryAt) / 1000;
    const left = model.leftS === null ? null : Math.max(0, model.leftS - past);
    setText(figures.left.value, left === null ? "–" : `~${duration(left < 10 ? Math.ceil(left) : Math.round(left))}`);
    setText(figures.left.note, this.#interval());
    figures.left.box.title = model.eta?.basis ?? "";
  }

  #interval() {
    const { eta } = this.model;
    if (!eta?.earliest || !eta?.latest) return eta?.at ? `until ${instant(eta.at)}` : "";
    const [from, to] = [instant(eta.earliest), instant(eta.latest)];
    return from === to ? `until ${to}` : `until ${from} – ${to}`;
  }

  #failures() {
    const failed = this.model.failed();
    const key = failed.slice(0, FAILURES_SHOWN).join() + failed.length + this.errors.size;
    if (key === this.failureKey) return;
    this.failureKey = key;
    byId("failures-part").hidden = !failed.length;
    setText(byId("failures-title"), `${plural(failed.length, "task")} failed`);
    const rows = failed.slice(0, FAILURES_SHOWN).map((index) => this.#failure(index));
    if (failed.length > FAILURES_SHOWN) {
      rows.push(el("li", {}, el("button", { type: "button", class: "quiet", text: `Show all ${count(failed.length)}`, on: { click: () => this.filterBy("failed") } })));
    }
    replace(byId("failures"), ...rows);
  }

  #failure(index) {
    const { model } = this;
    const told = this.errors.get(model.ids[index]);
    const attempts = told?.attempts ?? model.last(index)?.number ?? 0;
    const reason = told?.reason ?? model.reason[index] ?? "";
    return el("li", { class: "failure" },
      el("button", { type: "button", class: "task-link", on: { click: (event) => this.openTask(index, { from: event.currentTarget }) } }, given(model.ids[index])),
      el("span", { class: "failure-reason" }, reason ? el("b", { text: reason.replaceAll("_", " ") }) : null, attempts > 1 ? ` after ${attempts} attempts` : ""),
      el("span", { class: "failure-error", text: (told?.error ?? "").split("\n")[0] }),
      el("button", { type: "button", class: "quiet", "aria-label": `Log of ${model.ids[index]}`, text: "Log", on: { click: (event) => this.openTask(index, { part: "log", from: event.currentTarget }) } }));
  }

  /** Tell listeners from time to time, not at each event. */
  #say() {
    const now = performance.now();
    if (now - (this.saidAt ?? -SAID_EVERY_MS) < SAID_EVERY_MS && !this.model.isFinal) return;
    this.saidAt = now;
    setText(byId("said"), `Run ${this.model.runStatus}: ${countText(this.model.counts)}.`);
  }
}
