// Two runs beside each other: what differs, and how long each task took in both.

import { get, runPath } from "./api.js";
import { byId, el, replace, svg } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { openFrame } from "./frame.js";
import { RunModel } from "./model.js";
import { given, refusalBlock, runPill, statusTag } from "./parts.js";
import { BY_LETTER } from "./status.js";

const SHOWN = 200;
const DOTS = 4000;
const SIDE = 360;
const ORDERS = { changed: "What changed most", slower: "Slower first", faster: "Faster first", plan: "As in the plan" };

async function read(run) {
  const [line, graph, timeline] = await Promise.all([get(runPath(run)), get(runPath(run, "/graph")), get(runPath(run, "/timeline"))]);
  const model = new RunModel(graph);
  model.load(timeline);
  return { line, model };
}

/** One row for each task of either: `{id, a, b}` with `{status, seconds, attempts}`, null where it has no such task. */
function pair(a, b) {
  const rows = a.ids.map((id, index) => ({ id, title: a.titles[index], a: state(a, index), b: b.indexOf.has(id) ? state(b, b.indexOf.get(id)) : null }));
  b.ids.forEach((id, index) => a.indexOf.has(id) || rows.push({ id, title: b.titles[index], a: null, b: state(b, index) }));
  for (const row of rows) row.difference = row.a?.seconds != null && row.b?.seconds != null ? row.b.seconds - row.a.seconds : null;
  return rows;
}

const state = (model, index) => ({ status: BY_LETTER[model.status[index]].name, seconds: model.seconds(index), attempts: model.last(index)?.number ?? 0 });

function wall(model) {
  return model.startedMs === null ? null : (model.nowMs - model.startedMs) / 1000;
}

function head(a, b, rows) {
  const side = (name, { line, model }) => el("article", { class: "card side" }, el("p", { class: "side-name", text: name }),
    el("h2", {}, el("a", { href: `/runs/${encodeURIComponent(line.run_id)}` }, given(String(line.plan ?? "").split(/[\\/]/).pop() || line.run_id, ""))),
    el("p", { class: "sub mono", text: line.run_id }), runPill(line.status, line.dry_run), el("p", { class: "figure num", text: duration(wall(model)) }),
    el("p", { class: "muted num", text: `${plural(model.size, "task")}, ${duration(work(model))} of work` }));
  const both = rows.filter((row) => row.a && row.b);
  const facts = [
    [rows.filter((row) => !row.b).length, "only in A"], [rows.filter((row) => !row.a).length, "only in B"],
    [both.filter((row) => row.a.status !== row.b.status).length, "ended otherwise"], [both.filter((row) => row.a.attempts !== row.b.attempts).length, "with other attempts"],
    [both.filter((row) => row.difference > 0.05 && row.difference > row.a.seconds * 0.2).length, "slower by a fifth"],
    [both.filter((row) => row.difference < -0.05 && -row.difference > row.a.seconds * 0.2).length, "faster by a fifth"],
  ];
  return [el("div", { class: "sides" }, side("A", a), side("B", b)), el("ul", { class: "differences" }, ...facts.map(([number, text]) => el("li", { class: number ? "" : "muted" }, el("b", { class: "num", text: count(number) }), ` ${text}`)))];
}

const work = (model) => model.ids.reduce((sum, _, index) => sum + (model.seconds(index) ?? 0), 0);

/** Durations in A and in B, both logarithmic; above the line B was slower. */
function scatter(rows) {
  const both = rows.filter((row) => row.difference !== null && row.a.seconds > 0 && row.b.seconds > 0);
  if (both.length < 2) return null;
  const values = both.flatMap((row) => [row.a.seconds, row.b.seconds]);
  const low = Math.floor(Math.log10(Math.max(0.0005, values.reduce((least, value) => Math.min(least, value), Infinity))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(values.reduce((most, value) => Math.max(most, value), 0))));
  const at = (seconds) => ((Math.log10(Math.max(seconds, 0.0005)) - low) / (high - low)) * SIDE;
  const picture = svg("svg", { class: "scatter", viewBox: `-46 -8 ${SIDE + 60} ${SIDE + 40}`, role: "img", "aria-label": `Durations of ${count(both.length)} tasks in A and in B` });
  for (let power = low; power <= high; power += 1) {
    const [place, text] = [at(10 ** power), duration(10 ** power)];
    picture.append(svg("line", { class: "grid", x1: place, x2: place, y1: 0, y2: SIDE }), svg("line", { class: "grid", x1: 0, x2: SIDE, y1: SIDE - place, y2: SIDE - place }),
      svg("text", { x: place, y: SIDE + 16, "text-anchor": "middle", text }), svg("text", { x: -6, y: SIDE - place + 4, "text-anchor": "end", text }));
  }
  picture.append(svg("line", { class: "even", x1: 0, y1: SIDE, x2: SIDE, y2: 0 }));
  const step = Math.ceil(both.length / DOTS);
  both.forEach((row, number) => {
    if (number % step) return;
    const names = row.b.status === "failed" ? "dot bad" : row.difference > 0 ? "dot slower" : "dot faster";
    picture.append(svg("circle", { class: names, cx: at(row.a.seconds).toFixed(1), cy: (SIDE - at(row.b.seconds)).toFixed(1), r: 3 }));
  });
  picture.append(svg("text", { class: "axis", x: SIDE, y: SIDE + 30, "text-anchor": "end", text: "A" }), svg("text", { class: "axis", x: -6, y: 22, "text-anchor": "end", text: "B" }));
  return el("figure", { class: "card" }, el("figcaption", {}, el("h3", { text: "Durations" }), el("span", { class: "muted", text: "above the line, B was slower" })), picture);
}

function table(rows) {
  const body = el("tbody");
  const choice = el("select", { on: { change: show } }, ...Object.entries(ORDERS).map(([value, text]) => el("option", { value, text })));
  const said = el("p", { class: "muted num" });
  function show() {
    const keys = { changed: (row) => -Math.abs(row.difference ?? 0), slower: (row) => -(row.difference ?? -Infinity), faster: (row) => row.difference ?? Infinity, plan: () => 0 };
    const rank = (row) => (!row.a || !row.b || row.a.status !== row.b.status ? 0 : 1);
    const key = keys[choice.value];
    const sorted = [...rows].sort((x, y) => (choice.value === "changed" ? rank(x) - rank(y) : 0) || key(x) - key(y));
    replace(body, ...sorted.slice(0, SHOWN).map(line));
    said.textContent = rows.length > SHOWN ? `${count(SHOWN)} of ${plural(rows.length, "task")}` : plural(rows.length, "task");
  }
  show();
  const heads = [["Task"], ["A", "right"], ["B", "right"], ["Difference", "right"], ["Status"]].map(([text, names]) => el("th", { scope: "col", class: names, text }));
  return [el("div", { class: "panel-tools" }, el("label", { class: "field small" }, el("span", { text: "Order" }), choice), said),
    el("div", { class: "sheet scroll-x" }, el("table", { class: "tasks" }, el("caption", { class: "sr", text: "Tasks of both runs" }), el("thead", {}, el("tr", {}, ...heads)), body))];
}

function line(row) {
  const statuses = !row.a ? ["only in B"] : !row.b ? ["only in A"] : row.a.status === row.b.status ? [statusTag(row.a.status)] : [statusTag(row.a.status), " → ", statusTag(row.b.status)];
  const share = row.difference !== null && row.a.seconds > 0 ? ` ${row.difference > 0 ? "+" : "−"}${Math.abs(Math.round((row.difference / row.a.seconds) * 100))} %` : "";
  const isNoise = row.difference === null || Math.abs(row.difference) < Math.max(0.05, row.a.seconds * 0.05);
  const names = isNoise ? "" : row.difference > 0 ? "slower" : "faster";
  return el("tr", {}, el("th", { scope: "row" }, given(row.id)), el("td", { class: "right num", text: duration(row.a?.seconds) }), el("td", { class: "right num", text: duration(row.b?.seconds) }),
    el("td", { class: `right num ${names}`, text: row.difference === null ? "–" : `${row.difference > 0 ? "+" : ""}${duration(row.difference)}${share}` }), el("td", {}, ...statuses));
}

try {
  const session = openFrame();
  const [, , first, second] = location.pathname.split("/");
  const [, a, b] = await Promise.all([session, read(decodeURIComponent(first)), read(decodeURIComponent(second))]);
  const rows = pair(a.model, b.model);
  replace(byId("compare"), ...head(a, b, rows), scatter(rows), ...table(rows));
  byId("compare").setAttribute("aria-busy", "false");
  document.body.dataset.state = "ready";
} catch (error) {
  replace(byId("compare"), refusalBlock(error));
  throw error;
}
