// The workers of the cluster: what they have, what of it is free, how busy they are; and the queues they serve.

import { get, send } from "./api.js";
import { byId, el, notice, replace, setText } from "./dom.js";
import { count, duration, mib, plain, plural } from "./format.js";
import { openFrame } from "./frame.js";
import { facts, given, refusalBlock } from "./parts.js";

const AGAIN_MS = 3000;
const AMOUNTS = [["slots", "slots", plain], ["cpus", "cores", plain], ["memory_mib", "memory", mib], ["gpus", "GPUs", plain], ["disk_mib", "disk", mib]];

let session = null;
const shown = new Map();

function meter(label, used, all, show, isShare = false) {
  const share = all > 0 ? Math.min(1, Math.max(0, used / all)) : 0;
  const bar = el("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": all, "aria-valuenow": used, "aria-valuetext": `${show(used)} of ${show(all)} in use` }, el("i"));
  bar.firstElementChild.style.setProperty("width", `${share * 100}%`);
  return el("div", { class: "meter-row" }, el("span", { class: "meter-label", text: label }), bar, el("span", { class: "meter-value num", text: isShare ? show(used) : `${show(used)} / ${show(all)}` }));
}

function meters(worker) {
  const rows = [];
  for (const [name, label, show] of AMOUNTS) {
    const all = worker.capacity?.[name];
    if (!all) continue;
    const free = worker.free?.[name];
    rows.push(free === undefined || free === null ? el("div", { class: "meter-row" }, el("span", { class: "meter-label", text: label }), el("span", { class: "meter-value num", text: show(all) })) : meter(label, all - free, all, show));
  }
  const load = worker.load ?? {};
  if (load.cpu_percent !== undefined) rows.push(meter("load", load.cpu_percent, 100, (value) => `${Math.round(value)} %`, true));
  for (const gpu of load.gpus ?? []) if (gpu.busy_percent !== undefined) rows.push(meter(`GPU ${gpu.index ?? ""}`.trim(), gpu.busy_percent, 100, (value) => `${Math.round(value)} %`, true));
  return rows;
}

function card(worker) {
  const state = worker.state || "ready";
  const labels = worker.capacity?.labels ?? [];
  return el("article", { class: "card worker", "aria-label": worker.name },
    el("header", {}, el("h2", {}, given(worker.name)), el("span", { class: `pill w-${state}`, text: state })),
    el("p", { class: "facts" }, [worker.host, (worker.classes ?? []).join(", "), labels.length ? labels.join(", ") : ""].filter(Boolean).join(" · ")),
    ...meters(worker),
    (worker.notes ?? []).length ? el("ul", { class: "worker-notes muted" }, ...worker.notes.map((note) => el("li", { text: note }))) : null,
    el("details", {}, el("summary", { text: "More" }), facts([["Process", String(worker.pid ?? "")], ["Version", worker.version], ["Python", worker.python], ["Protocol", worker.protocol === undefined ? null : String(worker.protocol)],
      ["Driver", worker.driver], ["Agents", (worker.agents ?? []).join(", ")], ["GPUs", (worker.capacity?.devices ?? []).map((device) => `${device.model} ${mib(device.memory_mib)}`).join(", ")]])),
    session.may("admin") ? controls(worker, state) : null);
}

function controls(worker, state) {
  const act = (verb, done) => async () => {
    try {
      await send("POST", `workers/${encodeURIComponent(worker.name)}/${verb}`);
      notice(done);
      await renew();
    } catch (error) {
      notice(error.hint ? `${error.message}. ${error.hint}` : error.message, "bad");
    }
  };
  const button = (text, verb, done) => el("button", { type: "button", class: "quiet", "aria-label": `${text} ${worker.name}`, text, on: { click: act(verb, done) } });
  const isHeld = state === "cordoned" || state === "draining";
  return el("footer", { class: "card-tools" }, isHeld ? button("Uncordon", "uncordon", `${worker.name} takes tasks again.`) : button("Cordon", "cordon", `${worker.name} takes nothing more.`),
    state === "draining" ? null : button("Drain", "drain", `${worker.name} finishes and leaves.`));
}

function showWorkers(workers) {
  const place = byId("workers");
  place.setAttribute("aria-busy", "false");
  setText(byId("workers-said"), plural(workers.length, "worker"));
  if (!workers.length) {
    shown.clear();
    replace(place, el("div", { class: "empty" }, el("p", { text: "No worker is there." }), el("p", { class: "muted" }, "Start one: ", el("code", { text: "tek worker" }))));
    return;
  }
  if (!shown.size) replace(place);
  const names = new Set(workers.map((worker) => worker.name));
  for (const [name, kept] of shown) if (!names.has(name)) kept.element.remove() || shown.delete(name);
  for (const worker of workers) {
    const key = JSON.stringify(worker);
    const kept = shown.get(worker.name);
    if (kept?.key === key) continue;
    const element = card(worker);
    if (kept) replaceCard(kept.element, element);
    else place.append(element);
    shown.set(worker.name, { key, element });
  }
}

/** Put a card in the place of an older one; what was open stays open, and the focus stays where it was. */
function replaceCard(old, element) {
  const parts = (of) => [...of.querySelectorAll("button, summary")];
  const at = parts(old).indexOf(document.activeElement);
  if (old.querySelector("details")?.open) element.querySelector("details").open = true;
  old.replaceWith(element);
  if (at >= 0) (parts(element)[at] ?? parts(element)[0])?.focus({ preventScroll: true });
}

function showQueues(queues) {
  byId("queues-part").hidden = !queues.length;
  const rows = queues.map((queue) => el("tr", {}, el("th", { scope: "row" }, given(queue.name ?? queue.queue ?? queue.route ?? "")),
    el("td", { class: "right num", text: count(queue.depth ?? queue.messages ?? queue.waiting ?? 0) }), el("td", { class: "right num", text: duration(queue.oldest_s ?? queue.age_s ?? null) })));
  replace(byId("queues"), el("table", {}, el("caption", { class: "sr", text: "Queues" }), el("thead", {}, el("tr", {}, el("th", { scope: "col", text: "Queue" }), el("th", { scope: "col", class: "right", text: "Waiting" }), el("th", { scope: "col", class: "right", text: "Oldest" }))), el("tbody", {}, ...rows)));
}

async function renew() {
  const [workers, queues] = await Promise.allSettled([get("workers"), get("queues")]);
  if (workers.reason) throw workers.reason;
  showWorkers(workers.value.workers);
  if (queues.value) showQueues(queues.value.queues ?? []);
}

try {
  session = await openFrame();
  await renew();
  setInterval(() => document.hidden || renew().catch(() => {}), AGAIN_MS);
  document.body.dataset.state = "ready";
} catch (error) {
  replace(byId("workers"), refusalBlock(error));
  throw error;
}
