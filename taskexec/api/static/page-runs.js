// The list of runs, newest first; those that go on are looked at again.

import { get } from "./api.js";
import { byId, el, replace, setText } from "./dom.js";
import { count, duration, instant, plural } from "./format.js";
import { openFrame } from "./frame.js";
import { countBar, given, refusalBlock, runPill } from "./parts.js";
import { isRunFinal } from "./status.js";

const PAGE = 50;
const AGAIN_MS = 3000;
const CALM_AGAIN_MS = 12000;

const state = { runs: [], next: null, chosen: new Set(), filter: "", drawn: new Map() };

async function read(cursor) {
  const after = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  return get(`runs?limit=${PAGE}${after}`);
}

/** Read the first page again, and keep what came after it. */
async function renew() {
  const first = await read(null);
  const seen = new Set(first.runs.map((run) => run.run_id));
  const isWhole = state.runs.length <= PAGE;
  state.runs = [...first.runs, ...(isWhole ? [] : state.runs.filter((run) => !seen.has(run.run_id)))];
  if (isWhole) state.next = first.next;
  show();
}

async function more() {
  const page = await read(state.next);
  state.runs.push(...page.runs);
  state.next = page.next;
  show();
}

function show() {
  const list = byId("runs");
  list.setAttribute("aria-busy", "false");
  byId("more").hidden = !state.next;
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (run) => words.every((word) => `${run.plan} ${run.run_id} ${run.user ?? ""} ${run.tag ?? ""} ${run.status}`.toLowerCase().includes(word));
  const shown = state.runs.filter(fits);
  setText(byId("runs-said"), state.filter ? plural(shown.length, "run") : "");
  if (!shown.length) {
    state.body = null;
    replace(list, state.runs.length ? el("p", { class: "empty", text: "No run is like that." }) : nothing());
    return;
  }
  if (!state.body) {
    state.body = el("tbody");
    const heads = [["", "choose"], ["Plan"], ["Status"], ["Tasks"], ["Started", "wide"], ["Took", "right wide"], ["By", "wide"]];
    const head = el("tr", {}, ...heads.map(([text, names], at) => el("th", { scope: "col", class: names }, at ? text : el("span", { class: "sr", text: "Compare" }))));
    replace(list, el("table", { class: "runs" }, el("caption", { class: "sr", text: "Runs" }), el("thead", {}, head), state.body));
  }
  const rows = shown.map(rowOf);
  rows.forEach((row, at) => {
    if (state.body.children[at] !== row) state.body.insertBefore(row, state.body.children[at] ?? null);
  });
  while (state.body.children.length > rows.length) state.body.lastElementChild.remove();
}

const nothing = () => el("div", { class: "empty" }, el("p", { text: "No run yet." }), el("p", { class: "muted" }, "Submit a plan: ", el("code", { text: "tek submit plan.csv" })));

function rowOf(run) {
  const key = JSON.stringify(run);
  const kept = state.drawn.get(run.run_id);
  if (kept?.key === key) return kept.row;
  const name = String(run.plan ?? "").split(/[\\/]/).pop() || run.run_id;
  const choose = el("input", { type: "checkbox", "aria-label": `Choose ${name} ${run.run_id} to compare`, on: { change: (event) => turnChoice(run.run_id, event.target.checked) } });
  choose.checked = state.chosen.has(run.run_id);
  const link = el("a", { class: "run-link", href: `/runs/${encodeURIComponent(run.run_id)}` }, given(name, ""));
  const row = el("tr", {}, el("td", { class: "choose" }, choose),
    el("th", { scope: "row" }, link, el("span", { class: "sub mono", text: run.run_id }), run.tag ? el("span", { class: "tag", text: run.tag }) : null),
    el("td", {}, runPill(run.status, run.dry_run)),
    el("td", { class: "run-counts" }, run.counts ? countBar(run.counts) : null, el("span", { class: "sub num", text: said(run) })),
    el("td", { class: "wide num", text: instant(run.started ?? run.submitted_at) }),
    el("td", { class: "right num wide", text: duration(took(run)) }), el("td", { class: "wide", text: run.user ?? "" }));
  kept?.row.replaceWith(row);
  state.drawn.set(run.run_id, { key, row });
  return row;
}

function said(run) {
  const counts = run.counts ?? {};
  const done = ["succeeded", "satisfied", "failed", "skipped", "cancelled"].reduce((sum, name) => sum + (counts[name] ?? 0), 0);
  const all = run.tasks ?? Object.values(counts).reduce((sum, value) => sum + value, 0);
  const failed = counts.failed ? ` · ${count(counts.failed)} failed` : "";
  return isRunFinal(run.status) && done === all ? `${plural(all, "task")}${failed}` : `${count(done)} of ${count(all)}${failed}`;
}

const took = (run) => (run.started ? (new Date(run.ended ?? Date.now()) - new Date(run.started)) / 1000 : null);

function turnChoice(run, isOn) {
  if (isOn) state.chosen.add(run);
  else state.chosen.delete(run);
  const link = byId("compare");
  const two = [...state.chosen].slice(-2);
  const isReady = state.chosen.size === 2;
  link.setAttribute("aria-disabled", String(!isReady));
  if (isReady) {
    const order = state.runs.map((one) => one.run_id);
    two.sort((a, b) => order.indexOf(b) - order.indexOf(a));
    link.setAttribute("href", `/compare/${two.map(encodeURIComponent).join("/")}`);
    link.removeAttribute("tabindex");
  } else {
    link.removeAttribute("href");
    link.setAttribute("tabindex", "-1");
  }
}

function later() {
  const isLive = state.runs.some((run) => !isRunFinal(run.status));
  setTimeout(async () => {
    try {
      if (!document.hidden) await renew();
    } catch {
      // shown at the first reading; a later one is tried again
    }
    later();
  }, isLive ? AGAIN_MS : CALM_AGAIN_MS);
}

try {
  const session = openFrame();
  byId("filter").addEventListener("input", () => {
    state.filter = byId("filter").value;
    show();
  });
  byId("more").addEventListener("click", more);
  await Promise.all([session, renew()]);
  later();
  document.body.dataset.state = "ready";
} catch (error) {
  replace(byId("runs"), refusalBlock(error));
  throw error;
}
