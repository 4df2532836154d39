// Two runs beside each other: what differs, and how long each task took in both. What that is, the API says.

import { get, runPath } from "./api.js";
import { byId, el, replace, svg } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { openFrame } from "./frame.js";
import { given, refusalBlock, runPill, statusTag } from "./parts.js";

const SHOWN = 200;
const DOTS = 4000;
const SIDE = 360;
const ORDERS = { changed: "What changed most", slower: "Slower first", faster: "Faster first", plan: "As in the plan" };

const compared = (a, b, order, points = 0) =>
  get(`${runPath(a, "/compare")}/${encodeURIComponent(b)}?order=${order}&limit=${SHOWN}&points=${points}`);

const tasks = (run) => Object.values(run.counts).reduce((sum, number) => sum + number, 0);

function head(lines, found) {
  const side = (name, line, run) => el("article", { class: "card side" }, el("p", { class: "side-name", text: name }),
    el("h2", {}, el("a", { href: `/runs/${encodeURIComponent(line.run_id)}` }, given(String(line.plan ?? "").split(/[\\/]/).pop() || line.run_id, ""))),
    el("p", { class: "sub mono", text: line.run_id }), runPill(line.status, line.dry_run), el("p", { class: "figure num", text: duration(run.wall_s) }),
    el("p", { class: "muted num", text: `${plural(tasks(run), "task")}, ${duration(run.work_s)} of work` }));
  const { only_in: only, ended_otherwise: otherwise, other_attempts: attempts, slower, faster } = found.differences;
  const facts = [
    [only[0], "only in A"], [only[1], "only in B"], [otherwise, "ended otherwise"], [attempts, "with other attempts"],
    [slower, "slower by a fifth"], [faster, "faster by a fifth"],
  ];
  return [el("div", { class: "sides" }, side("A", lines[0], found.runs[0]), side("B", lines[1], found.runs[1])),
    el("ul", { class: "differences" }, ...facts.map(([number, text]) => el("li", { class: number ? "" : "muted" }, el("b", { class: "num", text: count(number) }), ` ${text}`)))];
}

/** Durations in A and in B, both logarithmic; above the line B was slower. */
function scatter(points) {
  if (points.length < 2) return null;
  const values = points.flatMap((point) => point.duration_s);
  const low = Math.floor(Math.log10(Math.max(0.0005, values.reduce((least, value) => Math.min(least, value), Infinity))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(values.reduce((most, value) => Math.max(most, value), 0))));
  const at = (seconds) => ((Math.log10(Math.max(seconds, 0.0005)) - low) / (high - low)) * SIDE;
  const picture = svg("svg", { class: "scatter", viewBox: `-46 -8 ${SIDE + 60} ${SIDE + 40}`, role: "img", "aria-label": `Durations of ${count(points.length)} tasks in A and in B` });
  for (let power = low; power <= high; power += 1) {
    const [place, text] = [at(10 ** power), duration(10 ** power)];
    picture.append(svg("line", { class: "grid", x1: place, x2: place, y1: 0, y2: SIDE }), svg("line", { class: "grid", x1: 0, x2: SIDE, y1: SIDE - place, y2: SIDE - place }),
      svg("text", { x: place, y: SIDE + 16, "text-anchor": "middle", text }), svg("text", { x: -6, y: SIDE - place + 4, "text-anchor": "end", text }));
  }
  picture.append(svg("line", { class: "even", x1: 0, y1: SIDE, x2: SIDE, y2: 0 }));
  for (const { duration_s: [a, b], status } of points) {
    const names = status[1] === "failed" ? "dot bad" : b > a ? "dot slower" : "dot faster";
    picture.append(svg("circle", { class: names, cx: at(a).toFixed(1), cy: (SIDE - at(b)).toFixed(1), r: 3 }));
  }
  picture.append(svg("text", { class: "axis", x: SIDE, y: SIDE + 30, "text-anchor": "end", text: "A" }), svg("text", { class: "axis", x: -6, y: 22, "text-anchor": "end", text: "B" }));
  return el("figure", { class: "card" }, el("figcaption", {}, el("h3", { text: "Durations" }), el("span", { class: "muted", text: "above the line, B was slower" })), picture);
}

/** Those that ended otherwise first, then those that only one has, unless another order was chosen. */
function inOrder(order, rows, alone) {
  if (order !== "changed") return [...rows.map(line), ...alone];
  const isOther = ({ status }) => status[0] !== status[1];
  return [...rows.filter(isOther).map(line), ...alone, ...rows.filter((row) => !isOther(row)).map(line)];
}

/** The tasks of both, and the names of those that only one of them has; another order is asked for. */
function table(found, ask) {
  const body = el("tbody");
  const choice = el("select", { on: { change } }, ...Object.entries(ORDERS).map(([value, text]) => el("option", { value, text })));
  const said = el("p", { class: "muted num" });
  const alone = ["A", "B"].flatMap((name, side) => found.only_in[side].map((id) => only(id, name)));
  const all = tasks(found.runs[0]) + found.differences.only_in[1];
  function show(rows) {
    const shown = inOrder(choice.value, rows, alone).slice(0, SHOWN);
    replace(body, ...shown);
    said.textContent = all > shown.length ? `${count(shown.length)} of ${plural(all, "task")}` : plural(all, "task");
  }
  async function change() {
    const order = choice.value;
    try {
      const { tasks: rows } = await ask(order);
      if (choice.value === order) show(rows); // else another one was chosen meanwhile
    } catch (error) {
      said.textContent = error.message;
    }
  }
  show(found.tasks);
  const heads = [["Task"], ["A", "right"], ["B", "right"], ["Difference", "right"], ["Status"]].map(([text, names]) => el("th", { scope: "col", class: names, text }));
  return [el("div", { class: "panel-tools" }, el("label", { class: "field small" }, el("span", { text: "Order" }), choice), said),
    el("div", { class: "sheet scroll-x" }, el("table", { class: "tasks" }, el("caption", { class: "sr", text: "Tasks of both runs" }), el("thead", {}, el("tr", {}, ...heads)), body))];
}

function line({ task, status: [before, after], duration_s: [a, b], difference_s: difference }) {
  const statuses = before === after ? [statusTag(before)] : [statusTag(before), " → ", statusTag(after)];
  const share = difference !== null && a > 0 ? ` ${difference > 0 ? "+" : "−"}${Math.abs(Math.round((difference / a) * 100))} %` : "";
  const isNoise = difference === null || Math.abs(difference) < Math.max(0.05, a * 0.05);
  const names = isNoise ? "" : difference > 0 ? "slower" : "faster";
  const told = difference === null ? "–" : `${difference > 0 ? "+" : ""}${duration(difference)}${share}`;
  return row(task, duration(a), duration(b), [names, told], statuses);
}

const only = (id, name) => row(id, "–", "–", ["", "–"], [`only in ${name}`]);

const row = (id, a, b, [names, difference], statuses) => el("tr", {}, el("th", { scope: "row" }, given(id)), el("td", { class: "right num", text: a }), el("td", { class: "right num", text: b }),
  el("td", { class: `right num ${names}`, text: difference }), el("td", {}, ...statuses));

try {
  const session = openFrame();
  const [first, second] = location.pathname.split("/").slice(2).map(decodeURIComponent);
  const [, found, ...lines] = await Promise.all([session, compared(first, second, "changed", DOTS), get(runPath(first)), get(runPath(second))]);
  replace(byId("compare"), ...head(lines, found), scatter(found.points), ...table(found, (order) => compared(first, second, order)));
  byId("compare").setAttribute("aria-busy", "false");
  document.body.dataset.state = "ready";
} catch (error) {
  replace(byId("compare"), refusalBlock(error));
  throw error;
}
