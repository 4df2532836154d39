// The page of a run: reads its graph and timeline, follows it, and has each view show what changed.

import { get, runPath } from "./api.js";
import { Controls } from "./controls.js";
import { byId, replace, setText } from "./dom.js";
import { Drawer } from "./drawer.js";
import { count } from "./format.js";
import { openFrame, wantsLessMotion } from "./frame.js";
import { GanttView } from "./gantt.js";
import { GraphView } from "./graph.js";
import { LiveRun } from "./live.js";
import { RunModel } from "./model.js";
import { Overview } from "./overview.js";
import { Palette } from "./paint.js";
import { refusalBlock } from "./parts.js";
import { taskScene } from "./scenes.js";
import { TaskTable } from "./table.js";
import { Tabs } from "./tabs.js";
import { UseView } from "./use.js";

const TICK_MS = 250;
const CALM_TICK_MS = 1000;
const SUMMARY_MS = 400;
const SEARCH_MS = 120;
const LOOK_AGAIN_MS = [0, 300, 700, 1000, 2000, 4000];

class RunPage {
  constructor(runId, session, run, model, scenes, timeline) {
    Object.assign(this, { runId, session, model, summaryWait: SUMMARY_MS });
    model.load(timeline);
    const openTask = (index, options) => this.openTask(index, options);
    const palette = new Palette();
    const panel = (name) => byId(`panel-${name}`);
    this.overview = new Overview(model, run, { openTask, filterBy: (name) => this.#filterBy(name) });
    this.controls = new Controls(model, run, session, () => this.#lookAgain());
    this.drawer = new Drawer(model, session, {
      onClose: (from) => this.#closed(from), onTurn: (index) => this.#turned(index), retry: (task) => this.controls.retry(task),
    });
    this.views = {
      graph: new GraphView(panel("graph"), model, palette, { openTask, scenes }), gantt: new GanttView(panel("gantt"), model, palette, { openTask }),
      use: new UseView(panel("use"), model, runId), tasks: new TaskTable(panel("tasks"), model, { openTask }),
    };
    this.tabs = new Tabs(byId("tabs"), (name) => this.#show(name));
    this.live = new LiveRun(runId, {
      onChanges: (changes) => this.#changed(changes), onReload: (fresh) => this.#reloaded(fresh), onState: (state) => this.#connection(state),
    });
    this.#search();
    this.#begin(timeline);
  }

  #begin(timeline) {
    const place = this.#place();
    this.tabs.turnTo(place.get("view") ?? "graph");
    this.update();
    const index = this.model.indexOf.get(place.get("task") ?? "");
    if (index !== undefined) this.openTask(index);
    addEventListener("hashchange", () => this.#goTo());
    setInterval(() => this.#tick(), wantsLessMotion() ? CALM_TICK_MS : TICK_MS);
    this.#follow(timeline);
    document.body.dataset.state = "ready";
  }

  #place() {
    return new URLSearchParams(location.hash.slice(1));
  }

  #goTo() {
    const place = this.#place();
    const index = this.model.indexOf.get(place.get("task") ?? "") ?? -1;
    if (place.get("view") && place.get("view") !== this.tabs.current) this.tabs.turnTo(place.get("view"));
    if (index < 0) this.drawer.close();
    else if (index !== this.drawer.index) this.openTask(index);
  }

  #remember() {
    const place = new URLSearchParams();
    if (this.tabs.current && this.tabs.current !== "graph") place.set("view", this.tabs.current);
    if (this.drawer.isOpen) place.set("task", this.model.ids[this.drawer.index]);
    const hash = place.size ? `#${place}` : "";
    if (hash !== location.hash) history.replaceState(null, "", location.pathname + location.search + hash);
  }

  openTask(index, options = {}) {
    this.drawer.open(index, { from: document.activeElement, ...options });
  }

  #turned(index) {
    this.#remember();
    this.views.graph.lookAt(index);
  }

  #closed(from) {
    this.#remember();
    if (from && from !== document.body) from.focus({ preventScroll: true });
    else this.views[this.tabs.current].takeFocus?.();
  }

  #show(name) {
    this.views[name].shown?.();
    this.views[name].update(true);
    if (this.live) this.#remember();
  }

  #filterBy(name) {
    this.tabs.turnTo("tasks");
    this.views.tasks.filterBy(name);
    byId("tab-tasks").scrollIntoView({ block: "nearest" });
  }

  #changed(all) {
    const wasPending = this.model.startedMs === null;
    for (const changes of all) this.model.apply(changes);
    this.summaryWait = SUMMARY_MS;
    if (wasPending && this.model.startedMs !== null) this.live.reload(); // from now on times have their origin
    this.update();
    this.#summaryLater();
  }

  #reloaded(timeline) {
    this.model.load(timeline);
    this.update();
    this.#follow(timeline);
    this.#summaryLater();
  }

  /** Something was asked of the run: look a few times whether it has come about. */
  async #lookAgain() {
    for (const wait of LOOK_AGAIN_MS) {
      await new Promise((done) => setTimeout(done, wait));
      if (document.body.dataset.connection === "live" && !this.model.isFinal) return; // its events tell
      await this.live.reload();
    }
  }

  #follow(timeline) {
    if (this.model.isFinal) this.live.rest();
    else this.live.follow(timeline.last_id);
  }

  update() {
    this.overview.update();
    this.controls.update();
    this.views[this.tabs.current].update();
    this.drawer.update();
  }

  #tick() {
    if (document.hidden) return;
    if (this.model.isFinal) return;
    this.overview.tick();
    this.views[this.tabs.current].tick?.();
    this.drawer.tick();
  }

  /** Errors of failed tasks are in no event: read the summary while some are not known. */
  #summaryLater() {
    if (this.timer || !this.overview.lacksErrors) return;
    this.timer = setTimeout(async () => {
      this.timer = null;
      try {
        this.overview.takeFailures((await get(runPath(this.runId))).failures);
      } catch {
        // asked again
      }
      this.#summaryLater();
    }, this.summaryWait);
    this.summaryWait = Math.min(this.summaryWait * 2, SUMMARY_MS * 8);
  }

  #connection(state) {
    const line = byId("connection");
    line.hidden = state !== "lost";
    document.body.dataset.connection = state;
    if (state === "lost") setText(line, "The connection is lost: what stands here may be old. Trying again …");
  }

  #search() {
    const field = byId("find");
    let timer = 0;
    let at = -1;
    const look = () => {
      at = -1;
      this.found = this.model.find(field.value);
      setText(byId("found"), this.found ? count(this.found.length) : "");
      byId("found").setAttribute("aria-label", this.found ? `${count(this.found.length)} found` : "");
      for (const view of Object.values(this.views)) view.setFound(this.found);
    };
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(look, SEARCH_MS);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && field.value) {
        field.value = "";
        look();
      }
      if (event.key !== "Enter") return;
      clearTimeout(timer);
      if (at < 0) look();
      if (!this.found?.length) return;
      at = (at + (event.shiftKey ? this.found.length - 1 : 1)) % this.found.length;
      if (this.tabs.current === "graph") this.views.graph.lookAt(this.found[at], { isNear: true });
      else this.openTask(this.found[at], { from: field });
    });
    addEventListener("keydown", (event) => {
      const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      field.focus();
    });
  }
}

/** Read everything, and lay the graph out while the server is still reading what happened. */
async function readAll(runId) {
  const [session, run, timeline] = [openFrame(), get(runPath(runId)), get(runPath(runId, "/timeline"), { cache: "no-cache" })];
  for (const part of [session, run, timeline]) part.catch(() => {}); // one is told of, below
  const model = new RunModel(await get(runPath(runId, "/graph")));
  const scenes = { tasks: taskScene(model) };
  return [await session, await run, model, scenes, await timeline];
}

const runId = decodeURIComponent(location.pathname.split("/")[2] ?? "");
setText(byId("run-id"), runId);
try {
  const parts = await readAll(runId);
  new RunPage(parts[1].run_id ?? runId, ...parts);
} catch (error) {
  replace(byId("main"), refusalBlock(error));
  document.body.dataset.state = "failed";
  throw error;
}
