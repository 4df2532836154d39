// What a run used over time: tasks running, cores, memory, GPUs; and where its time went.

import { get, runPath } from "./api.js";
import { el, replace, setText, svg } from "./dom.js";
import { duration, mib, plain, plural } from "./format.js";

const STEPS = 240;
const WIDE = 960;
const HIGH = 120;
const AGAIN_MS = 5000;

export class UseView {
  constructor(panel, model, run) {
    Object.assign(this, { panel, model, run });
    this.charts = el("div", { class: "charts" });
    this.times = el("div", { class: "times" });
    panel.append(this.charts, this.times);
    this.readAt = -Infinity;
  }

  shown() {
    this.update();
  }

  setFound() {}

  tick() {
    this.update();
  }

  update() {
    if (this.panel.hidden) return;
    const now = performance.now();
    const isDue = now - this.readAt > AGAIN_MS && (!this.model.isFinal || !this.isWhole);
    if (isDue) this.#read(now);
    if (!this.model.isFinal || !this.drawn || isDue) this.#draw();
  }

  async #read(now) {
    this.readAt = now;
    const isWhole = this.model.isFinal;
    const [use, blame] = await Promise.allSettled([get(runPath(this.run, `/use?steps=${STEPS}`)), get(runPath(this.run, "/blame"))]);
    this.isWhole = isWhole;
    this.use = use.value ?? null;
    this.#draw();
    if (blame.value) this.#drawBlame(blame.value);
  }

  #draw() {
    this.drawn = this.model.isFinal;
    const start = this.model.startedMs;
    if (start === null || start === undefined) {
      replace(this.charts, el("p", { class: "empty", text: "Nothing has begun yet." }));
      return;
    }
    const to = Math.max(this.model.nowMs, start + 1);
    const span = (to - start) / 1000;
    const charts = [chart("Tasks running", this.#running(start, to), (value) => plain(value), span)];
    const { use } = this;
    if (use) {
      const known = use.known ? ` · known of ${use.known.toLocaleString("en-US")} of ${plural(use.attempts, "attempt")}` : "";
      if (use.cpus?.some(Boolean)) charts.push(chart("Cores busy", use.cpus, (value) => plain(value), use.span_s, known));
      if (use.memory_mib?.some(Boolean)) charts.push(chart("Memory, at most", use.memory_mib, mib, use.span_s, known));
      if (use.gpus?.some(Boolean)) charts.push(chart("GPUs busy", use.gpus, (value) => plain(value), use.span_s, known));
      if (use.gpu_memory_mib?.some(Boolean)) charts.push(chart("GPU memory, at most", use.gpu_memory_mib, mib, use.span_s, known));
    }
    replace(this.charts, ...charts);
  }

  /** How many attempts ran in each step, on average. */
  #running(from, to) {
    const line = new Float64Array(STEPS);
    const scale = STEPS / (to - from);
    for (const attempts of this.model.attempts) {
      for (const attempt of attempts ?? []) {
        if (attempt.claimed === null) continue;
        const first = Math.max(0, (Math.max(attempt.claimed, attempt.started ?? 0) - from) * scale);
        const last = Math.min(STEPS, ((attempt.finished ?? to) - from) * scale);
        for (let at = Math.floor(first); at < last; at += 1) line[at] += Math.min(last, at + 1) - Math.max(first, at);
      }
    }
    return [...line];
  }

  #drawBlame(blame) {
    const parts = shares(blame);
    if (!parts.length) return;
    const total = parts.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
    const bar = el("div", { class: "bar blame", "aria-hidden": "true" });
    const list = el("ul", { class: "blame-key" });
    parts.forEach(([name, seconds], at) => {
      const part = el("i", { class: `blame-${at % 6}` });
      part.style.setProperty("flex-grow", String(seconds / total));
      bar.append(part);
      list.append(el("li", {}, el("i", { class: `blame-${at % 6}`, "aria-hidden": "true" }), el("b", { class: "num", text: duration(seconds) }), ` ${name} `,
        el("span", { class: "muted num", text: `${Math.round((seconds / total) * 100)} %` })));
    });
    replace(this.times, el("h3", { text: "Where the time went" }), bar, list);
  }
}

/** Parts of the wall time, longest first, of what `tek blame` says. */
function shares(blame) {
  return Object.entries(blame.parts_us ?? {}).map(([name, us]) => [name.replaceAll("_", " "), us / 1e6])
    .filter(([, seconds]) => seconds > 0).sort((a, b) => b[1] - a[1]);
}

function chart(title, values, show, spanS, known = "") {
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const mean = values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);
  const top = most || 1;
  const x = (at) => ((at / values.length) * WIDE).toFixed(1);
  const y = (value) => (HIGH - (value / top) * (HIGH - 6)).toFixed(1);
  let path = `M0 ${HIGH}`;
  values.forEach((value, at) => {
    path += `L${x(at)} ${y(value)}L${x(at + 1)} ${y(value)}`;
  });
  path += `L${WIDE} ${HIGH}z`;
  const said = `${title}: at most ${show(most)}, ${show(mean)} on average over ${duration(spanS)}`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": said });
  picture.append(svg("path", { class: "area", d: path }), svg("line", { class: "mean", x1: 0, x2: WIDE, y1: y(mean), y2: y(mean) }));
  const head = el("figcaption", {}, el("h3", { text: title }), el("span", { class: "muted num", text: `at most ${show(most)} · on average ${show(mean)}${known}` }));
  const foot = el("div", { class: "chart-foot muted num", "aria-hidden": "true" }, el("span", { text: "0" }), el("span", { text: duration(spanS / 2) }), el("span", { text: duration(spanS) }));
  const figure = el("figure", { class: "chart" }, head, picture, foot);
  setText(head.firstElementChild, title);
  return figure;
}
