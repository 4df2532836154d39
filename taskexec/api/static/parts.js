// Small parts that several pages share: statuses, names of tasks, bars of counts, lists of facts.

import { append, el, oneLine, svg } from "./dom.js";
import { count } from "./format.js";
import { BY_NAME, MARKS, RUN_SIGNS, STATUSES } from "./status.js";

/** The sign and name of a task's status. */
export function statusTag(name) {
  const sign = BY_NAME[name]?.sign ?? "?";
  return el("span", { class: `status t-${name}` }, el("span", { class: "sign", "aria-hidden": "true", text: sign }), name);
}

/** The sign and name of a run's status. */
export function runPill(status, isDryRun = false) {
  const pill = el("span", { class: `pill r-${status}` }, el("span", { "aria-hidden": "true", text: RUN_SIGNS[status] ?? "?" }), status);
  if (isDryRun) append(pill, [" (dry run)"]);
  return pill;
}

/** An id or another text of the user's: on one line, and in its own direction of writing. */
export const given = (text, names = "mono") => el("bdi", { class: names }, oneLine(text));

/** A bar of shares by status; the numbers are in its label. */
export function countBar(counts, names = "bar small") {
  const total = Object.values(counts).reduce((sum, value) => sum + value, 0);
  const bar = el("div", { class: names, role: "img", "aria-label": countText(counts) });
  fillBar(bar, counts, total);
  return bar;
}

/** Fill, or fill again, a bar. */
export function fillBar(bar, counts, total) {
  for (const { name } of STATUSES) {
    const share = total ? (counts[name] ?? 0) / total : 0;
    let part = bar.querySelector(`.b-${name}`);
    if (!part && !share) continue;
    if (!part) bar.append((part = el("i", { class: `b-${name}` })));
    part.style.setProperty("flex-grow", String(counts[name] ?? 0));
    part.style.setProperty("order", String(STATUSES.findIndex((status) => status.name === name)));
    part.hidden = !share;
  }
}

export const countText = (counts) =>
  STATUSES.filter(({ name }) => counts[name]).map(({ name }) => `${count(counts[name])} ${name}`).join(", ") || "no tasks";

/** Pairs of a name and a value (a text or elements); those without a value are left out. */
export function facts(pairs, names = "pairs") {
  const list = el("dl", { class: names });
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "" || value === "–") continue;
    list.append(el("div", {}, el("dt", { text: name }), el("dd", {}, value)));
  }
  return list;
}

/** The mark of a lane. */
export function laneMark(lane) {
  const mark = svg("svg", { class: "lane-mark", viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" });
  mark.append(svg("path", { class: `q${lane % MARKS.length}`, d: MARKS[lane % MARKS.length] }));
  return mark;
}

/** What went wrong, with its hint, as a block. */
export function refusalBlock(error) {
  return el("div", { class: "notice bad", role: "alert" }, el("p", { text: error.message }), error.hint ? el("p", { class: "muted", text: error.hint }) : null);
}
