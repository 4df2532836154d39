// The graph of a run: what one looks at, where the focus is, and how it moves along dependencies.

import { byId, el, oneLine, setText } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { onColours } from "./frame.js";
import { paintGraph } from "./graph-paint.js";
import { ROW_NAMES, laneScene, levelScene, taskScene } from "./scenes.js";
import { BY_LETTER, STATUSES } from "./status.js";
import { Viewport } from "./viewport.js";

const SCENES = { tasks: taskScene, lanes: laneScene, levels: levelScene };
const HELP = "Arrow keys follow dependencies: right to what comes after, left to what comes before, up and down within a level. "
  + "Enter opens, plus and minus zoom, 0 shows everything, C follows the critical path. The tab Tasks has the same as a table.";

export class GraphView {
  /** `scenes` has what is laid out already, by kind. */
  constructor(panel, model, palette, { openTask, scenes = {} }) {
    Object.assign(this, { panel, model, palette, openTask, scenes });
    this.state = { model, palette, focus: -1, near: [], hot: null, found: null, countsOf: (box) => this.#countsOf(box) };
    this.#build();
    onColours(() => this.palette.renew() || this.draw());
    this.turnTo("tasks");
  }

  #build() {
    this.canvas = el("canvas", { class: "graph-canvas", "aria-hidden": "true" });
    this.stage = el("div", {
      class: "stage", tabindex: "0", role: "application", "aria-roledescription": "graph of tasks", "aria-label": this.#summary(),
      "aria-describedby": "graph-help", on: { keydown: (event) => this.#key(event) },
    }, this.canvas);
    this.tip = el("div", { class: "tip", hidden: true });
    this.heard = el("p", { class: "sr", role: "status", "aria-live": "polite" });
    this.note = el("span", { class: "muted" });
    this.stage.append(this.tip);
    this.panel.append(this.#tools(), this.stage, this.heard, el("p", { class: "sr", id: "graph-help", text: HELP }));
    this.view = new Viewport(this.canvas, {
      onChange: () => this.draw(), onTap: (x, y) => this.#tap(x, y), onHover: (at) => this.#hover(at),
    });
    new ResizeObserver(() => this.#resized()).observe(this.stage);
  }

  #tools() {
    const choice = (value, text) => el("label", { class: "segment" },
      el("input", { type: "radio", name: "scene", value, on: { change: () => this.turnTo(value) } }), el("span", { text }));
    this.segments = el("fieldset", { class: "segments" }, el("legend", { class: "sr", text: "Draw together" }),
      choice("tasks", "Tasks"), choice("lanes", "Lanes"), choice("levels", "Levels"));
    this.hotButton = el("button", { type: "button", class: "toggle", "aria-pressed": "false", text: "Critical path", on: { click: () => this.#toggleHot() } });
    const steps = [["‹", "Previous on the critical path", -1], ["›", "Next on the critical path", 1]].map(([text, label, step]) =>
      el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, text, on: { click: () => this.stepHot(step) } }));
    this.hotSteps = el("span", { class: "steps", hidden: true }, ...steps);
    const critical = this.model.critical.length ? [this.hotButton, this.hotSteps] : [];
    return el("div", { class: "panel-tools" }, this.segments, ...critical, this.note, this.#zoomTools());
  }

  #zoomTools() {
    const button = (text, label, act) => el("button", { type: "button", "aria-label": label, title: label, text, on: { click: act } });
    return el("div", { class: "zoom", role: "group", "aria-label": "Zoom" }, button("+", "Zoom in", () => this.view.zoomIn()),
      button("−", "Zoom out", () => this.view.zoomOut()), button("⤢", "Show everything", () => this.fit()));
  }

  #summary() {
    return `Graph of ${plural(this.model.size, "task")} in ${plural(this.model.levels, "level")}`;
  }

  /** Show tasks, or tasks drawn together by `lanes` or `levels`. */
  turnTo(kind) {
    const task = this.focusTask ?? -1;
    this.scene = this.scenes[kind] ??= SCENES[kind](this.model);
    this.segments.querySelector(`[value="${kind}"]`).checked = true;
    this.counts = null;
    this.#mark();
    this.state.hotEdges = this.state.hot ? this.#hotEdges() : [];
    this.state.focus = task >= 0 ? this.scene.boxOf(task) : -1;
    this.#near();
    this.isFitted = false;
    this.#resized();
  }

  fit() {
    const { scene, view } = this;
    view.least = Math.min(0.4, 0.5 * Math.min(view.width / Math.max(scene.width, 1), view.height / Math.max(scene.height, 1)));
    const names = scene.rows && view.width > 2.5 * ROW_NAMES ? ROW_NAMES : 0;
    const pad = names * (scene.width / Math.max(view.width - 48 - names, 1));
    view.fit({ x: -pad, y: 0, width: scene.width + pad, height: scene.height }, { most: 1.15 });
  }

  /** Where one begins to look: at everything, but on a narrow screen from near enough to read a small graph. */
  #begin() {
    this.fit();
    const { scene, view } = this;
    if (view.width > 600 || scene.kind !== "tasks" || scene.size > 60 || view.scale > 0.5) return;
    view.scale = 0.62;
    view.x = -14 / view.scale;
    view.y = scene.height / 2 - view.height / 2 / view.scale;
    view.onChange();
  }

  /** Have the stage as tall as what is to be seen needs, between two bounds. */
  #fitStage() {
    const { scene } = this;
    const scale = Math.min(1.15, (this.stage.clientWidth - 48) / Math.max(scene.width, 1));
    this.stage.style.setProperty("--wanted", `${Math.ceil(scene.height * scale + 70)}px`);
  }

  #resized() {
    if (this.panel.hidden || !this.canvas.clientWidth) return;
    this.#fitStage();
    const changed = this.view.resize();
    if (!this.isFitted) {
      this.isFitted = true;
      this.#begin();
    } else if (changed) this.draw(true);
  }

  shown() {
    this.#resized();
    this.draw();
  }

  /** Tasks have changed. */
  update() {
    this.counts = null;
    this.draw();
  }

  draw(isNow = false) {
    if (isNow) this.#paint();
    else if (!this.asked && !this.panel.hidden) this.asked = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    cancelAnimationFrame(this.asked);
    this.asked = null;
    if (this.panel.hidden || !this.canvas.clientWidth) return;
    this.context ??= this.canvas.getContext("2d");
    const told = paintGraph(this.context, this.view, this.scene, this.state);
    const far = told.level === "areas" ? "Each cell stands for many tasks; zoom in for one by one." : "";
    setText(this.note, told.hiddenEdges ? `${far} ${count(told.hiddenEdges)} dependencies appear from nearer.`.trim() : far);
  }

  #countsOf(box) {
    this.counts ??= new Map();
    let counts = this.counts.get(box);
    if (!counts) {
      counts = {};
      for (const task of this.scene.members(box)) counts[this.model.status[task]] = (counts[this.model.status[task]] ?? 0) + 1;
      this.counts.set(box, counts);
    }
    return counts;
  }

  /** Show which tasks a search has found; null for all. */
  setFound(found) {
    this.found = found;
    this.#mark();
    this.draw();
  }

  #mark() {
    this.state.found = this.found ? new Set(this.found.map((task) => this.scene.boxOf(task))) : null;
  }

  /** Put the focus on a task and look at it; from far away, come nearer. */
  lookAt(task, { isNear = false } = {}) {
    this.#focus(this.scene.boxOf(task), task);
    const box = this.#boxAt(this.state.focus);
    if (isNear && this.view.scale < 0.55 && this.scene.kind === "tasks") {
      const [w, h] = [this.view.width / 0.8, this.view.height / 0.8];
      this.view.fit({ x: box.x + box.width / 2 - w / 2, y: box.y - h / 2, width: w, height: h }, { most: 0.8, room: 0 });
    } else this.view.show(box);
  }

  #boxAt(box) {
    return { x: this.scene.x[box], y: this.scene.y[box], width: this.scene.w, height: this.scene.h };
  }

  #focus(box, task = this.scene.members(box)[0]) {
    this.state.focus = box;
    this.focusTask = task;
    this.#near();
    this.#say();
    this.draw();
  }

  #near() {
    const { focus } = this.state;
    this.state.near = [];
    if (focus < 0) return;
    const { from, to } = this.scene;
    for (let edge = 0; edge < from.length; edge += 1) {
      if (from[edge] === focus || to[edge] === focus) this.state.near.push(edge);
    }
  }

  #say() {
    setText(this.heard, this.describe(this.state.focus).join(", "));
  }

  /** Say what a box is, as short texts. */
  describe(box) {
    if (this.scene.kind !== "tasks") {
      const counts = this.#countsOf(box);
      const lane = this.scene.rows ? this.model.lanes[this.model.lane[this.scene.members(box)[0]]] : "";
      const parts = STATUSES.filter(({ letter }) => counts[letter]).map(({ letter, name }) => `${count(counts[letter])} ${name}`);
      return [lane ? `${oneLine(lane)}, ${this.scene.label(box)}` : this.scene.label(box), plural(this.scene.members(box).length, "task"), ...parts];
    }
    const { model } = this;
    const seconds = model.seconds(box);
    const title = model.titles[box] && model.titles[box] !== model.ids[box] ? [oneLine(model.titles[box])] : [];
    return [oneLine(model.ids[box]), ...title, BY_LETTER[model.status[box]].name,
      ...(seconds === null ? [] : [duration(seconds)]), ...(model.lanes[model.lane[box]] ? [oneLine(model.lanes[model.lane[box]])] : []),
      `${count(model.deps[box].length)} before, ${count(model.dependents[box].length)} after`];
  }

  #hit(x, y) {
    const [worldX, worldY] = this.view.toWorld(x, y);
    const { scene } = this;
    for (let box = 0; box < scene.size; box += 1) {
      if (worldX >= scene.x[box] && worldX <= scene.x[box] + scene.w && worldY >= scene.y[box] && worldY <= scene.y[box] + scene.h) return box;
    }
    return -1;
  }

  #tap(x, y) {
    this.stage.focus({ preventScroll: true });
    const box = this.#hit(x, y);
    if (box < 0) {
      if (this.scene.kind === "tasks" && this.scene.h * this.view.scale < 9) this.view.zoom(2.5, x, y);
      return;
    }
    this.#focus(box);
    this.#open(box);
  }

  /** Open a task; of a box of many, look at its tasks. */
  #open(box) {
    if (this.scene.kind === "tasks") {
      this.openTask(box);
      return;
    }
    const members = this.scene.members(box);
    this.focusTask = members[0];
    this.turnTo("tasks");
    const { scene } = this;
    const xs = members.map((task) => scene.x[task]);
    const ys = members.map((task) => scene.y[task]);
    const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    this.view.fit({ x: least(xs), y: least(ys), width: most(xs) - least(xs) + scene.w, height: most(ys) - least(ys) + scene.h });
    this.#focus(members[0]);
  }

  #hover(at) {
    const box = at ? this.#hit(...at) : -1;
    this.tip.hidden = box < 0;
    this.canvas.classList.toggle("over", box >= 0);
    if (box < 0) return;
    const [name, ...rest] = this.describe(box);
    this.tip.replaceChildren(el("b", { text: name }), el("span", { text: rest.join(" · ") }));
    const { offsetWidth: wide, offsetHeight: high } = this.tip;
    const x = Math.min(at[0] + 14, this.view.width - wide - 6);
    const y = at[1] + high + 24 > this.view.height ? at[1] - high - 12 : at[1] + 16;
    this.tip.style.setProperty("transform", `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`);
  }

  /** Find the edges of the scene that are on the critical path. */
  #hotEdges() {
    const { critical } = this.model;
    const pairs = new Set(critical.slice(1).map((task, at) => `${this.scene.boxOf(critical[at])} ${this.scene.boxOf(task)}`));
    return [...this.scene.from.keys()].filter((edge) => pairs.has(`${this.scene.from[edge]} ${this.scene.to[edge]}`));
  }

  #toggleHot() {
    const isOn = this.state.hot === null;
    this.state.hot = isOn ? this.model.critical : null;
    this.state.hotEdges = isOn ? this.#hotEdges() : [];
    this.hotButton.setAttribute("aria-pressed", String(isOn));
    this.hotSteps.hidden = !isOn;
    this.draw();
  }

  /** Go along the critical path. */
  stepHot(step) {
    const path = this.model.critical;
    if (!path.length) return;
    if (this.state.hot === null) this.#toggleHot();
    const at = path.indexOf(this.focusTask ?? -1);
    const next = at < 0 ? 0 : Math.min(path.length - 1, Math.max(0, at + step));
    this.lookAt(path[next], { isNear: true });
  }

  #key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowRight: () => this.#along(this.scene.from, this.scene.to), ArrowLeft: () => this.#along(this.scene.to, this.scene.from),
      ArrowDown: () => this.#beside(1), ArrowUp: () => this.#beside(-1), Enter: () => this.state.focus >= 0 && this.#open(this.state.focus),
      "+": () => this.view.zoomIn(), "=": () => this.view.zoomIn(), "-": () => this.view.zoomOut(), 0: () => this.fit(),
      c: () => this.stepHot(1), C: () => this.stepHot(-1), Home: () => this.#goTo(0), End: () => this.#goTo(this.scene.size - 1),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #goTo(box) {
    if (this.scene.size) {
      this.#focus(box);
      this.view.show(this.#boxAt(box));
    }
  }

  /** Go to the nearest box at the other end of an edge. */
  #along(near, far) {
    const { focus } = this.state;
    if (focus < 0) return this.#goTo(0);
    let best = -1;
    let least = Infinity;
    near.forEach((box, edge) => {
      if (box !== focus) return;
      const distance = Math.abs(this.scene.y[far[edge]] - this.scene.y[focus]) + Math.abs(this.scene.x[far[edge]] - this.scene.x[focus]) / 50;
      if (distance < least) [best, least] = [far[edge], distance];
    });
    const next = focus + (near === this.scene.from ? 1 : -1);
    if (best < 0 && this.scene.kind === "levels" && next >= 0 && next < this.scene.size) best = next; // in the next line
    if (best >= 0) this.#goTo(best);
    else setText(this.heard, near === this.scene.from ? "Nothing comes after it." : "Nothing comes before it.");
  }

  /** Go up or down in the same column. */
  #beside(step) {
    const { focus } = this.state;
    if (focus < 0) return this.#goTo(0);
    const { x, y, size } = this.scene;
    let best = -1;
    for (let box = 0; box < size; box += 1) {
      if (x[box] !== x[focus] || (y[box] - y[focus]) * step <= 0) continue;
      if (best < 0 || (y[box] - y[best]) * step < 0) best = box;
    }
    if (best >= 0) this.#goTo(best);
  }

  /** Give the keyboard back to the graph. */
  takeFocus() {
    (this.panel.hidden ? byId("tab-graph") : this.stage).focus({ preventScroll: true });
  }
}
