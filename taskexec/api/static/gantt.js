// The Gantt of a run: who ran what when, by worker or by lane; waiting, queued, running and tried again told apart.

import { el, oneLine, setText } from "./dom.js";
import { duration, instant, shorten } from "./format.js";
import { onColours } from "./frame.js";
import { bandOf, beginOf, ganttGroups } from "./gantt-rows.js";
import { MONO, SANS } from "./paint.js";
import { OUTCOMES } from "./status.js";

const TRACK = 18;
const HEAD = 24;
const GAP = 12;
const AXIS = 26;
const BAND = 96;
/** Names of which fewer characters would be left are not drawn. */
const LEAST_NAME = 7;
const LETTER = { r: "R", s: "S", f: "F", l: "F", g: "C", c: "C", q: "q" };

export class GanttView {
  constructor(panel, model, palette, { openTask }) {
    Object.assign(this, { panel, model, palette, openTask });
    this.by = "worker";
    this.span = null; // null: everything, up to now
    this.found = null;
    this.focus = null;
    this.#build();
    onColours(() => this.draw());
  }

  #build() {
    const choice = (value, text) => el("label", { class: "segment" },
      el("input", { type: "radio", name: "gantt-by", value, checked: value === this.by, on: { change: () => this.turnTo(value) } }), el("span", { text }));
    const segments = el("fieldset", { class: "segments" }, el("legend", { class: "sr", text: "Rows" }), choice("worker", "By worker"), choice("lane", "By lane"));
    this.key = el("ul", { class: "key" });
    this.canvas = el("canvas", { class: "gantt-canvas", "aria-hidden": "true" });
    this.spacer = el("div", { class: "gantt-spacer" });
    this.scroller = el("div", { class: "gantt-scroll" }, this.canvas, this.spacer);
    this.tip = el("div", { class: "tip", hidden: true });
    const button = (text, label, act) => el("button", { type: "button", "aria-label": label, title: label, text, on: { click: act } });
    const zoom = el("div", { class: "zoom", role: "group", "aria-label": "Zoom" }, button("+", "Zoom in", () => this.zoom(1.6)),
      button("−", "Zoom out", () => this.zoom(1 / 1.6)), button("⤢", "Show everything", () => this.fit()));
    this.stage = el("div", {
      class: "stage gantt-stage", tabindex: "0", role: "application", "aria-roledescription": "Gantt chart", "aria-label": "Attempts over time",
      "aria-describedby": "gantt-help", on: { keydown: (event) => this.#keyDown(event) },
    }, this.scroller, this.tip);
    this.heard = el("p", { class: "sr", role: "status", "aria-live": "polite" });
    this.panel.append(el("div", { class: "panel-tools" }, segments, this.key, zoom), this.stage, this.heard,
      el("p", { class: "sr", id: "gantt-help", text: "Arrow keys go from attempt to attempt, Enter opens the task, plus and minus zoom, 0 shows everything. The tab Tasks has the same as a table." }));
    this.scroller.addEventListener("scroll", () => this.draw());
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.stage);
    this.#showKey();
  }

  #showKey() {
    const entries = [["wait", "waiting"], ["queue", "queued"], ["run", "running"], ["ok", "succeeded"], ["bad", "failed or lost"], ["again", "tried again"], ["back", "given back"]];
    for (const [name, text] of entries) this.key.append(el("li", {}, el("i", { class: `key-${name}`, "aria-hidden": "true" }), text));
  }

  turnTo(by) {
    this.by = by;
    this.focus = null;
    this.groups = null;
    this.scroller.scrollTop = 0;
    this.draw();
  }

  fit() {
    this.span = null;
    this.draw();
  }

  zoom(factor, atX = (this.left + this.width) / 2) {
    const [from, to] = this.#seen();
    const at = this.#timeAt(atX);
    const least = 0.5;
    const most = this.model.nowMs * 1.2 + 1;
    const wide = Math.min(most, Math.max(least, (to - from) / factor));
    const share = (at - from) / (to - from);
    this.span = wide >= most ? null : [at - wide * share, at + wide * (1 - share)];
    this.draw();
  }

  pan(dx) {
    const [from, to] = this.#seen();
    const shift = (-dx / (this.width - this.left)) * (to - from);
    this.span = [from + shift, to + shift];
    this.draw();
  }

  setFound(found) {
    this.found = found && new Set(found);
    this.draw();
  }

  update() {
    this.groups = null;
    this.draw();
  }

  tick() {
    if (!this.model.isFinal) this.update();
  }

  shown() {
    this.update();
  }

  draw() {
    if (this.asked || this.panel.hidden) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = null;
      this.#paint();
    });
  }

  #seen() {
    const start = Math.min(this.model.startedMs ?? 0, this.#firstMs());
    return this.span ?? [start, Math.max(this.model.nowMs, start + 1) + (this.model.nowMs - start) * 0.01];
  }

  #firstMs() {
    return this.model.ready.reduce((least, value) => (value === null ? least : Math.min(least, value)), this.model.startedMs ?? 0);
  }

  #x(ms) {
    const [from, to] = this.#seenNow;
    return this.left + ((ms - from) / (to - from)) * (this.width - this.left);
  }

  #timeAt(x) {
    const [from, to] = this.#seen();
    return from + ((x - this.left) / (this.width - this.left)) * (to - from);
  }

  #seenNow = [0, 1];

  #arrange() {
    if (this.groups) return;
    this.groups = ganttGroups(this.model, this.by, this.model.nowMs);
    let y = AXIS;
    for (const group of this.groups) {
      group.y = y;
      group.height = HEAD + (group.isBand ? BAND : group.tracks.length * TRACK);
      y += group.height + GAP;
    }
    this.spacer.style.setProperty("height", `${Math.max(0, y - this.scroller.clientHeight)}px`);
    this.stage.style.setProperty("--wanted", `${Math.ceil(y + 8)}px`);
  }

  #paint() {
    if (this.panel.hidden || !this.scroller.clientWidth) return;
    this.#arrange();
    const ratio = Math.min(devicePixelRatio || 1, 2.5);
    const { clientWidth: width, clientHeight: height } = this.scroller;
    Object.assign(this, { width, height, left: 10 });
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.setProperty("height", `${height}px`);
      this.spacer.style.setProperty("margin-top", "0");
    }
    this.#seenNow = this.#seen();
    const context = (this.context ??= this.canvas.getContext("2d"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.#paintGrid(context);
    for (const group of this.groups) this.#paintGroup(context, group, group.y - this.scroller.scrollTop);
    this.#paintAxis(context);
    if (!this.groups.length) this.#paintNothing(context);
  }

  #paintNothing(context) {
    context.fillStyle = this.palette.get("muted");
    context.font = `14px ${SANS}`;
    context.textAlign = "center";
    context.fillText("Nothing has begun yet", this.width / 2, this.height / 2);
  }

  #ticks() {
    const [from, to] = this.#seenNow;
    const start = this.model.startedMs ?? 0;
    const wanted = ((to - from) / Math.max(2, (this.width - this.left) / 110)) / 1000;
    const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400];
    const step = (steps.find((value) => value >= wanted) ?? 86400 * Math.ceil(wanted / 86400)) * 1000;
    const ticks = [];
    for (let at = Math.ceil((from - start) / step) * step; at + start <= to; at += step) ticks.push([at + start, at / 1000]);
    return ticks;
  }

  #paintGrid(context) {
    context.strokeStyle = this.palette.get("line");
    context.lineWidth = 1;
    context.globalAlpha = 0.6;
    context.beginPath();
    for (const [ms] of this.#ticks()) {
      const x = Math.round(this.#x(ms)) + 0.5;
      context.moveTo(x, AXIS);
      context.lineTo(x, this.height);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #paintAxis(context) {
    context.fillStyle = this.palette.get("surface");
    context.fillRect(0, 0, this.width, AXIS);
    context.fillStyle = this.palette.get("muted");
    context.font = `11px ${SANS}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [ms, seconds] of this.#ticks()) context.fillText(seconds ? duration(seconds) : "0", Math.max(14, this.#x(ms)), AXIS / 2);
  }

  #paintGroup(context, group, y) {
    if (y > this.height || y + group.height < AXIS) return;
    context.fillStyle = this.palette.get("ink");
    context.font = `600 12.5px ${SANS}`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    const name = shorten(oneLine(group.name), 40);
    context.fillText(name, 10, y + HEAD / 2);
    const wide = context.measureText(name).width;
    context.fillStyle = this.palette.get("muted");
    context.font = `11.5px ${SANS}`;
    context.fillText(`${group.bars.length.toLocaleString("en-US")} ${group.bars.length === 1 ? "attempt" : "attempts"}`, 20 + wide, y + HEAD / 2 + 0.5);
    if (group.isBand) this.#paintBand(context, group, y + HEAD);
    else group.tracks.forEach((track, at) => this.#paintTrack(context, track, y + HEAD + at * TRACK));
  }

  #paintTrack(context, track, y) {
    if (y > this.height || y + TRACK < AXIS) return;
    let end = -1;
    for (const bar of track) {
      const [x0, x1] = [this.#x(bar.from), this.#x(bar.to)];
      if (x1 < this.left - 2 || x0 > this.width) continue;
      if (x1 < end && x1 - x0 < 0.5 && bar.attempt?.outcome === "s") continue; // several in one pixel
      end = Math.max(end, Math.ceil(x0 * 2) / 2 + 0.5);
      context.globalAlpha = this.found && !this.found.has(bar.task) ? 0.15 : 1;
      this.#paintBar(context, bar, y);
    }
    context.globalAlpha = 1;
  }

  #paintBar(context, bar, y) {
    const { attempt } = bar;
    const high = TRACK - 4;
    const claimed = beginOf(attempt);
    const queued = attempt?.queued ?? claimed ?? bar.to;
    if (bar.ready !== null && (queued > bar.from || !attempt)) this.#paintWait(context, this.#x(bar.from), this.#x(attempt ? queued : bar.to), y + high / 2 + 1);
    if (this.by === "lane" && attempt) this.#paintQueue(context, this.#x(Math.max(bar.from, queued)), this.#x(claimed ?? bar.to), y, high);
    if (claimed === null) return;
    const letter = LETTER[attempt.outcome] ?? "S";
    const x = this.#x(claimed);
    const wide = Math.max(1.2, this.#x(bar.to) - x);
    const isGivenBack = letter === "C";
    if (isGivenBack) this.#paintBack(context, x, y + high / 2 + 1, wide);
    else {
      context.fillStyle = wide > 3 ? this.palette.fill(context, letter) : this.palette.strong(letter);
      context.fillRect(x, y + 1, wide, high);
    }
    if (attempt.number > 1) this.#paintAgain(context, x, y, wide);
    if (this.focus && this.focus.task === bar.task && this.focus.attempt === attempt) this.#paintFocus(context, x, y, wide, high);
    if (wide > 36 && !isGivenBack) this.#paintName(context, bar, x, y, wide, letter);
  }

  #paintWait(context, x0, x1, y) {
    if (x1 - x0 < 1) return;
    context.strokeStyle = this.palette.strong("w");
    context.lineWidth = 1.4;
    context.setLineDash([1.5, 3]);
    context.beginPath();
    context.moveTo(x0, y);
    context.lineTo(x1, y);
    context.stroke();
    context.setLineDash([]);
  }

  #paintQueue(context, x0, x1, y, high) {
    if (x1 - x0 < 0.8) return;
    context.fillStyle = this.palette.pale("q");
    context.fillRect(x0, y + high * 0.3 + 1, x1 - x0, high * 0.4);
    context.fillStyle = this.palette.strong("q");
    context.fillRect(x0, y + high / 2 + 0.5, x1 - x0, 1);
  }

  #paintBack(context, x, y, wide) {
    context.strokeStyle = this.palette.strong("C");
    context.lineWidth = 4;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + wide, y);
    context.stroke();
    context.setLineDash([]);
  }

  /** A further attempt has a flag over its beginning. */
  #paintAgain(context, x, y, wide) {
    context.fillStyle = this.palette.get("hot");
    context.fillRect(x, y - 1, Math.max(3, Math.min(wide, 40)), 2.5);
    context.fillRect(x, y - 1, 2, TRACK - 2);
  }

  #paintFocus(context, x, y, wide, high) {
    context.strokeStyle = this.palette.get("focus");
    context.lineWidth = 2.5;
    context.strokeRect(x - 2, y - 1, wide + 4, high + 4);
  }

  #paintName(context, bar, x, y, wide, letter) {
    const from = Math.max(x, this.left);
    const room = Math.floor((Math.min(x + wide, this.width) - from - 12) / 6.4);
    const again = bar.attempt.number > 1 ? `${bar.attempt.number}. ` : "";
    const whole = again + oneLine(this.model.ids[bar.task]);
    if (room < Math.min(whole.length, LEAST_NAME)) return;
    const text = shorten(whole, room);
    context.font = `600 10.5px ${MONO}`;
    const high = TRACK - 4;
    if (letter !== "S") {
      context.fillStyle = this.palette.strong(letter);
      context.fillRect(from + 3, y + 2, context.measureText(text).width + 6, high - 2);
    }
    context.fillStyle = this.palette.get("surface");
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(text, from + 6, y + 1 + high / 2);
  }

  #paintBand(context, group, y) {
    const [from, to] = this.#seenNow;
    const steps = Math.max(50, Math.floor((this.width - this.left) / 2));
    const band = bandOf(group, from, to, steps);
    let most = 1;
    for (let at = 0; at < steps; at += 1) most = Math.max(most, band.waiting[at] + band.queued[at] + band.running[at]);
    const base = new Float64Array(steps);
    for (const [name, letter] of [["running", "R"], ["queued", "q"], ["waiting", "w"]]) {
      context.fillStyle = letter === "R" ? this.palette.fill(context, "R") : this.palette.pale(letter);
      context.beginPath();
      const x = (at) => this.left + (at / steps) * (this.width - this.left);
      const level = (value) => y + BAND - 6 - (value / most) * (BAND - 14);
      for (let at = 0; at < steps; at += 1) {
        context.lineTo(x(at), level(base[at] + band[name][at]));
        context.lineTo(x(at + 1), level(base[at] + band[name][at]));
      }
      for (let at = steps - 1; at >= 0; at -= 1) {
        context.lineTo(x(at + 1), level(base[at]));
        context.lineTo(x(at), level(base[at]));
        base[at] += band[name][at];
      }
      context.fill();
      if (letter !== "R") this.#paintTop(context, letter, base, x, level);
    }
    context.fillStyle = this.palette.get("muted");
    context.font = `11px ${SANS}`;
    context.textAlign = "right";
    context.fillText(`up to ${Math.round(most).toLocaleString("en-US")} at once`, this.width - 8, y - HEAD / 2 + 0.5);
  }

  /** A line over an area: dotted over what waits. */
  #paintTop(context, letter, base, x, level) {
    context.strokeStyle = this.palette.strong(letter);
    context.setLineDash(letter === "w" ? [1.5, 2.5] : []);
    context.lineWidth = 1;
    context.beginPath();
    base.forEach((value, at) => {
      if (value < 0.001) return;
      context.moveTo(x(at), level(value));
      context.lineTo(x(at + 1), level(value));
    });
    context.stroke();
    context.setLineDash([]);
  }

  #barAt(x, y) {
    const world = y + this.scroller.scrollTop;
    const group = this.groups?.find((one) => world >= one.y + HEAD && world < one.y + one.height);
    if (!group || group.isBand || y < AXIS) return null;
    const track = group.tracks[Math.floor((world - group.y - HEAD) / TRACK)] ?? [];
    return track.find((bar) => x >= this.#x(bar.from) - 2 && x <= Math.max(this.#x(bar.to), this.#x(bar.from) + 2) + 1) ?? null;
  }

  #describe(bar) {
    const { attempt, task } = bar;
    const id = oneLine(this.model.ids[task]);
    if (!attempt) return [id, `waiting for ${duration((bar.to - bar.from) / 1000)}`];
    const parts = [id, `attempt ${attempt.number} ${OUTCOMES[attempt.outcome] ?? ""}`];
    if (attempt.reason) parts.push(attempt.reason.replaceAll("_", " "));
    const begun = beginOf(attempt);
    if (begun !== null) {
      const waited = begun - (attempt.queued ?? begun);
      parts.push(`${waited >= 1 ? `queued ${duration(waited / 1000)}, ` : ""}ran ${duration((bar.to - begun) / 1000)}`);
      parts.push(`from ${instant(this.model.originMs + begun)}`);
      if (attempt.worker >= 0) parts.push(`on ${oneLine(this.model.workers[attempt.worker])}`);
    }
    return parts;
  }

  #listen() {
    const { scroller } = this;
    let held = null;
    scroller.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button) return;
      held = { x: event.clientX, moved: 0 };
    });
    scroller.addEventListener("pointermove", (event) => {
      const box = scroller.getBoundingClientRect();
      if (held && event.buttons) {
        const dx = event.clientX - held.x;
        held.moved += Math.abs(dx);
        held.x = event.clientX;
        if (held.moved > 4) this.pan(dx);
      } else this.#hover(event.clientX - box.left, event.clientY - box.top);
    });
    scroller.addEventListener("pointerleave", () => (this.tip.hidden = true));
    scroller.addEventListener("click", (event) => {
      const box = scroller.getBoundingClientRect();
      const wasMoved = held && held.moved > 4;
      held = null;
      if (wasMoved) return;
      const bar = this.#barAt(event.clientX - box.left, event.clientY - box.top);
      if (bar) this.#open(bar);
    });
    scroller.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * 0.008), event.clientX - scroller.getBoundingClientRect().left);
    }, { passive: false });
  }

  #hover(x, y) {
    const bar = this.#barAt(x, y);
    this.tip.hidden = !bar;
    if (!bar) return;
    const [name, ...rest] = this.#describe(bar);
    this.tip.replaceChildren(el("b", { text: name }), el("span", { text: rest.join(" · ") }));
    const { offsetWidth: wide, offsetHeight: high } = this.tip;
    this.tip.style.setProperty("transform", `translate(${Math.max(4, Math.min(x + 14, this.width - wide - 6))}px, ${y + high + 24 > this.height ? y - high - 12 : y + 16}px)`);
  }

  #open(bar) {
    this.focus = bar;
    this.draw();
    this.openTask(bar.task);
  }

  #keyDown(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      "+": () => this.zoom(1.6), "=": () => this.zoom(1.6), "-": () => this.zoom(1 / 1.6), 0: () => this.fit(),
      ArrowRight: () => this.#step(1, 0), ArrowLeft: () => this.#step(-1, 0), ArrowDown: () => this.#step(0, 1), ArrowUp: () => this.#step(0, -1),
      Enter: () => this.focus && this.openTask(this.focus.task),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Go to another attempt: along its track, or to the track above or below. */
  #step(along, across) {
    this.#arrange();
    const tracks = this.groups.flatMap((group) => group.tracks.map((track, at) => ({ track, y: group.y + HEAD + at * TRACK })));
    if (!tracks.length) return;
    const isHere = (bar) => this.focus && bar.task === this.focus.task && bar.attempt?.number === this.focus.attempt?.number;
    const at = Math.max(0, tracks.findIndex(({ track }) => track.some(isHere)));
    const place = tracks[at].track.findIndex(isHere);
    const next = tracks[Math.min(tracks.length - 1, Math.max(0, at + across))];
    const now = this.focus?.from ?? 0;
    const nearest = across ? next.track.reduce((best, bar) => (Math.abs(bar.from - now) < Math.abs(best.from - now) ? bar : best)) : null;
    this.focus = nearest ?? next.track[Math.min(next.track.length - 1, Math.max(0, place < 0 ? 0 : place + along))];
    this.#reveal(next.y);
    setText(this.heard, this.#describe(this.focus).join(", "));
  }

  #reveal(y) {
    const { scroller } = this;
    if (y - AXIS < scroller.scrollTop) scroller.scrollTop = y - AXIS - HEAD;
    else if (y + TRACK > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = y + TRACK - scroller.clientHeight + 10;
    const [from, to] = this.#seen();
    if (this.span && (this.focus.from < from || this.focus.from > to)) {
      const wide = to - from;
      this.span = [this.focus.from - wide * 0.2, this.focus.from + wide * 0.8];
    }
    this.draw();
  }

  takeFocus() {
    this.stage.focus({ preventScroll: true });
  }
}
