// One task in full: what it is, needs and waits for, its attempts, output, evidence and entries of the ledger.

import { get, safeLink, taskPath } from "./api.js";
import { append, byId, el, oneLine, replace, setText } from "./dom.js";
import { bytes, count, duration, instant, mib, plain } from "./format.js";
import { LogView } from "./log.js";
import { facts, given, laneMark, refusalBlock, statusTag } from "./parts.js";
import { BY_LETTER, isFinal } from "./status.js";
import { whyTree } from "./why.js";

const LINKS_SHOWN = 24;
const READ_AGAIN_MS = 400;

export class Drawer {
  /** `onClose()` is called when it has been closed; `onTurn(index)` when it shows another task. */
  constructor(model, session, { onClose, onTurn, retry }) {
    Object.assign(this, { model, session, onClose, onTurn, retry, index: -1 });
    this.element = byId("drawer");
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  get isOpen() {
    return this.index >= 0;
  }

  /** Show a task; `part: "log"` goes to its output; `from` gets the focus back. */
  open(index, { part = null, from = null } = {}) {
    if (!this.isOpen) this.from = from;
    this.log?.close();
    this.index = index;
    this.shownStatus = null;
    this.task = null;
    const id = this.model.ids[index];
    this.log = new LogView(this.model.runId, id);
    this.#build(id);
    this.element.hidden = false;
    document.body.classList.add("has-drawer");
    this.element.scrollTop = 0;
    this.title.focus({ preventScroll: true });
    this.update();
    this.#read(index).then(() => part === "log" && this.index === index && this.#goToLog());
    this.onTurn(index);
  }

  #goToLog() {
    this.parts.log.scrollIntoView({ block: "start" });
    this.parts.log.querySelector("h3").focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen) return;
    this.log?.close();
    this.index = -1;
    this.element.hidden = true;
    replace(this.element);
    document.body.classList.remove("has-drawer");
    this.onClose(this.from?.isConnected ? this.from : null);
    this.from = null;
  }

  #build(id) {
    const { model, index } = this;
    this.title = el("h2", { id: "drawer-title", tabindex: "-1" }, given(id));
    this.status = el("span", { class: "drawer-status" });
    this.now = el("p", { class: "facts num" });
    const title = model.titles[index];
    const step = (text, label, list) => el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, text, disabled: !list.length, on: { click: () => this.open(list[0]) } });
    const head = el("header", { class: "drawer-head" },
      el("div", { class: "drawer-title" }, this.status, this.title, title && title !== id ? el("p", { class: "drawer-subtitle", text: title }) : null, this.now),
      el("div", { class: "drawer-tools" }, step("‹", "First dependency", model.deps[index]), step("›", "First dependent", model.dependents[index]),
        el("button", { type: "button", class: "icon-button", "aria-label": "Close", title: "Close (Esc)", text: "×", on: { click: () => this.close() } })));
    this.parts = {};
    const part = (name, heading) => (this.parts[name] = el("section", { class: `drawer-part part-${name}`, "aria-label": heading }, el("h3", { tabindex: "-1", text: heading }), el("div", { class: "part-body" })));
    part("error", "What went wrong").hidden = true;
    part("facts", "Facts");
    part("command", "Command");
    part("why", "Why");
    part("log", "Output");
    part("attempts", "Attempts");
    part("files", "Evidence");
    part("needs", "Dependencies");
    part("ledger", "Ledger");
    replace(this.element, head, ...Object.values(this.parts));
    replace(this.#body("log"), this.log.element);
    this.#needs();
    for (const name of ["command", "attempts", "files"]) this.parts[name].hidden = true;
    this.#ledger(id);
  }

  #body(name) {
    return this.parts[name].querySelector(".part-body");
  }

  #fill(name, ...children) {
    this.parts[name].hidden = !children.flat().some(Boolean);
    replace(this.#body(name), ...children);
  }

  /** The task may have changed. */
  update() {
    if (!this.isOpen) return;
    const letter = this.model.status[this.index];
    const attempts = this.model.attempts[this.index] ?? [];
    const key = `${letter} ${attempts.length} ${attempts.at(-1)?.outcome}`;
    this.tick();
    if (key === this.shownStatus) return;
    const isFirst = this.shownStatus === null;
    this.shownStatus = key;
    replace(this.status, statusTag(BY_LETTER[letter].name));
    const numbers = [...new Set(attempts.filter((attempt) => attempt.claimed !== null).map((attempt) => attempt.number))];
    this.log.show(numbers, letter === "R");
    if (!isFirst) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.isOpen && this.#read(this.index), READ_AGAIN_MS);
    }
  }

  /** What grows with time. */
  tick() {
    if (!this.isOpen) return;
    const { model, index } = this;
    const seconds = model.seconds(index);
    const worker = model.workerOf(index);
    const expected = model.expected?.[index];
    const number = model.last(index)?.number ?? 0;
    const parts = [seconds === null ? "" : isFinal(model.status[index]) ? `took ${duration(seconds)}` : `for ${duration(Math.floor(seconds))}`,
      expected && !isFinal(model.status[index]) ? `expected ${duration(expected)}` : "", worker ? `on ${oneLine(worker)}` : "", number > 1 ? `attempt ${number}` : ""];
    setText(this.now, parts.filter(Boolean).join(" · "));
  }

  async #read(index) {
    const id = this.model.ids[index];
    const run = this.model.runId;
    const [task, why] = await Promise.allSettled([get(taskPath(run, id)), get(taskPath(run, id, "/why"))]);
    if (this.index !== index) return;
    if (task.value) this.#show(task.value);
    else this.#fill("facts", refusalBlock(task.reason));
    if (why.value) this.#fill("why", whyTree(why.value));
    else this.#fill("why", el("p", { class: "muted", text: why.reason.message }));
  }

  #show(task) {
    this.task = task;
    const failed = task.error && (task.status === "failed" || task.status === "cancelled" || task.reason);
    this.parts.error.hidden = !failed;
    if (failed) {
      const status = task.exit_status === null || task.exit_status === undefined ? "" : `exit status ${task.exit_status}`;
    const said = [status && task.reason === "exit" ? "" : task.reason?.replaceAll("_", " "), status];
      const again = this.session.may("submitter") && this.model.isFinal && task.status === "failed";
      replace(this.#body("error"), el("p", { class: "failure-reason" }, el("b", { text: said.filter(Boolean).join(" · ") })), el("pre", { class: "error-text", text: task.error }),
        again ? el("button", { type: "button", text: "Retry this task", on: { click: () => this.retry(task.id.slice(task.run_id ? task.run_id.length + 1 : task.id.indexOf(":") + 1)) } }) : null);
    }
    this.#facts(task);
    this.#fill("command", command(task.instructions));
    this.#attempts(task.tries ?? []);
    this.#files(task.tries ?? []);
  }

  #facts(task) {
    const { model, index } = this;
    const lane = model.lanes[model.lane[index]];
    const flower = safeLink(task.links?.flower);
    this.#fill("facts", facts([
      ["Lane", lane ? [laneMark(model.lane[index]), " ", given(lane, "")] : null],
      ["Route", task.route], ["Agent", task.agent], ["Priority", task.priority ? String(task.priority) : null],
      ["Asks for", needs(task.needs)], ["Ready", instant(task.ready_at)], ["Queued", instant(task.queued_at)],
      ["Started", instant(task.started_at)], ["Finished", instant(task.finished_at)],
      ["Expected", task.expected_s ? duration(task.expected_s) : null],
      ["Because of", task.because_of ? this.#link(model.indexOf.get(task.because_of), task.because_of) : null],
      ["Flower", flower ? el("a", { href: flower, target: "_blank", rel: "noopener noreferrer", text: "open there" }) : null],
    ]));
  }

  #link(index, id) {
    if (index === undefined) return given(id);
    const letter = this.model.status[index];
    return el("button", { type: "button", class: "task-link", on: { click: () => this.open(index) } },
      el("span", { class: `sign t-${BY_LETTER[letter].name}`, role: "img", "aria-label": BY_LETTER[letter].name, text: BY_LETTER[letter].sign }), given(id));
  }

  #needs() {
    const { model, index } = this;
    const list = (title, indexes) => {
      if (!indexes.length) return el("p", { class: "muted", text: `${title}: none` });
      const shown = indexes.slice(0, LINKS_SHOWN).map((other) => el("li", {}, this.#link(other, model.ids[other])));
      if (indexes.length > LINKS_SHOWN) shown.push(el("li", { class: "muted", text: `and ${count(indexes.length - LINKS_SHOWN)} more` }));
      return [el("h4", { text: `${title} (${count(indexes.length)})` }), el("ul", { class: "task-links" }, ...shown)];
    };
    this.#fill("needs", list("Depends on", model.deps[index]), list("Needed by", model.dependents[index]));
  }

  #attempts(tries) {
    if (!tries.length) return this.#fill("attempts");
    const rows = tries.map((attempt) => el("tr", { class: attempt.outcome === "failed" || attempt.outcome === "lost" ? "is-failed" : "" },
      el("th", { scope: "row", class: "num", text: attempt.attempt }),
      el("td", {}, attempt.outcome.replaceAll("_", " "), attempt.reason ? el("span", { class: "muted", text: ` ${attempt.reason.replaceAll("_", " ")}` }) : null),
      el("td", { class: "right num", text: duration(between(attempt.started_at ?? attempt.claimed_at, attempt.finished_at)) }),
      el("td", { text: attempt.worker || attempt.placed_on?.join?.(", ") || "–" }), el("td", { class: "muted num", text: usage(attempt.usage) })));
    const head = ["#", "Outcome", "Ran", "Worker", "Used"].map((text) => el("th", { scope: "col", class: text === "Ran" ? "right" : "", text }));
    return this.#fill("attempts", el("div", { class: "scroll-x" }, el("table", { class: "small" }, el("caption", { class: "sr", text: "Attempts" }), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows))));
  }

  #files(tries) {
    const listed = tries.filter((attempt) => attempt.files?.length).reverse();
    this.#fill("files", ...listed.slice(0, 1).map((attempt) => fileList(attempt.files)),
      ...listed.slice(1).map((attempt) => el("details", {}, el("summary", { text: `Attempt ${attempt.attempt}` }), fileList(attempt.files))));
  }

  #ledger(id) {
    const body = el("div");
    const details = el("details", { on: { toggle: () => details.open && !body.childElementCount && this.#readLedger(id, body) } },
      el("summary", { text: "Entries that name this task" }), body);
    this.#fill("ledger", details);
  }

  async #readLedger(id, body) {
    replace(body, el("p", { class: "muted", text: "Reading …" }));
    try {
      const told = await get(taskPath(this.model.runId, id, "/ledger"));
      const entries = told.entries ?? told.ledger ?? (Array.isArray(told) ? told : []);
      if (!entries.length) throw new Error("No entry yet: the ledger is written as the run comes home.");
      replace(body, el("ol", { class: "ledger" }, ...entries.map(ledgerEntry)));
    } catch (error) {
      replace(body, el("p", { class: "muted", text: error.message }));
    }
  }
}

function fileList(files) {
  return el("ul", { class: "files" }, ...files.map((file) => {
    const address = safeLink(file.href);
    return el("li", {}, address ? el("a", { href: address, download: "" }, given(file.name)) : given(file.name), el("span", { class: "muted num", text: bytes(file.bytes) }),
      file.sha256 ? el("code", { class: "digest", title: `SHA-256 ${file.sha256}`, text: file.sha256 }) : null);
  }));
}

function ledgerEntry(entry) {
  const { seq, entry: number, event, at, hash, ...rest } = entry;
  const place = seq ?? number;
  return el("li", {}, el("span", {}, place === undefined ? null : el("span", { class: "muted num", text: `${place} ` }), el("b", { text: String(event ?? "").replaceAll("_", " ") }), el("span", { class: "muted num", text: ` ${instant(at)}` })),
    hash ? el("code", { class: "digest", title: hash, text: hash }) : null,
    el("details", {}, el("summary", { class: "muted", text: "all of it" }), el("pre", { text: JSON.stringify(rest, null, 1) })));
}

const between = (from, to) => (from && to ? (new Date(to) - new Date(from)) / 1000 : null);

function usage(used) {
  if (!used) return "";
  const parts = [used.cpu_s ? `${duration(used.cpu_s)} CPU` : "", used.peak_memory_mib ? mib(used.peak_memory_mib) : "", used.gpu_s ? `${duration(used.gpu_s)} GPU` : ""];
  return parts.filter(Boolean).join(", ");
}

/** What a task asks for, in words. */
function needs(asked) {
  if (!asked || typeof asked !== "object") return null;
  const words = { cpus: (value) => `${plain(value)} ${value === 1 ? "core" : "cores"}`, memory_mib: mib, gpus: (value) => `${plain(value)} GPU${value === 1 ? "" : "s"}`,
    gpu_memory_mib: (value) => `${mib(value)} on each`, disk_mib: (value) => `${mib(value)} of disk`, nodes: (value) => (value > 1 ? `${value} nodes` : ""),
    labels: (value) => (value.length ? `labels ${value.join(", ")}` : ""), exclusive: (value) => (value ? "a worker for itself" : "") };
  const parts = Object.entries(asked).map(([name, value]) => {
    if (value === null || value === undefined || value === 0 || value === "") return "";
    if (words[name]) return words[name](value);
    return typeof value === "object" ? "" : `${name.replaceAll("_", " ")} ${value}`;
  });
  return parts.filter(Boolean).join(", ") || null;
}

/** What its agent is told to do: commands as lines, else as it is. */
function command(instructions) {
  if (!instructions || !Object.keys(instructions).length) return null;
  const { commands, command: single, run, ...rest } = instructions;
  const parts = [];
  for (const one of commands ?? (single ?? run ? [single ?? run] : [])) parts.push(commandLine(one));
  if (Object.keys(rest).length) parts.push(el("pre", { class: "instructions", text: JSON.stringify(rest, null, 2) }));
  return parts;
}

function commandLine(one) {
  if (typeof one === "string") return el("pre", { class: "command", text: one });
  if (Array.isArray(one)) return el("pre", { class: "command", text: one.map(quoted).join(" ") });
  const line = one.run ?? one.command ?? one.argv ?? one.shell ?? "";
  const { run, command: _, argv, shell, ...rest } = one;
  const block = el("pre", { class: "command", text: Array.isArray(line) ? line.map(quoted).join(" ") : line });
  const said = Object.entries(rest).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (said.length) append(block, [el("span", { class: "command-note", text: said.map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join("\n") })]);
  return block;
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`);
