// All tasks of a run as a table: the same as graph and Gantt, in words, a hundred rows at a time.

import { el, replace, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { given, laneMark, statusTag } from "./parts.js";
import { BY_LETTER, STATUSES, URGENCY } from "./status.js";

const PAGE = 100;
const ORDERS = {
  urgency: "What needs attention first", plan: "As in the plan", duration: "Longest first", id: "By id",
};

export class TaskTable {
  constructor(panel, model, { openTask }) {
    Object.assign(this, { panel, model, openTask });
    this.page = 0;
    this.found = null;
    this.rows = [];
    this.#build();
  }

  #build() {
    const choice = (label, options, act) => {
      const select = el("select", { on: { change: act } }, ...options.map(([value, text]) => el("option", { value, text })));
      return [select, el("label", { class: "field small" }, el("span", { text: label }), select)];
    };
    const again = () => {
      this.page = 0;
      this.update(true);
    };
    const [status, statusField] = choice("Status", [["", "all"], ...STATUSES.map(({ letter, name }) => [letter, name])], again);
    const lanes = this.model.lanes.map((name, index) => [String(index), name || "no lane"]);
    const [lane, laneField] = choice("Lane", [["", "all"], ...lanes], again);
    const [order, orderField] = choice("Order", Object.entries(ORDERS), again);
    Object.assign(this, { status, lane, order });
    this.said = el("p", { class: "muted num", role: "status", "aria-live": "polite" });
    this.body = el("tbody");
    const heads = [["Task"], ["Status"], ["Lane", "wide"], ["Attempts", "right wide"], ["Worker", "wide"], ["Duration", "right"]];
    const head = el("tr", {}, ...heads.map(([text, names]) => el("th", { scope: "col", class: names, text })));
    const caption = el("caption", { class: "sr", text: "Tasks of the run" });
    this.table = el("table", { class: "tasks" }, caption, el("thead", {}, head), this.body);
    const turn = (step) => () => {
      this.page += step;
      this.update(true);
      this.panel.scrollIntoView({ block: "nearest" });
    };
    this.back = el("button", { type: "button", text: "Back", on: { click: turn(-1) } });
    this.next = el("button", { type: "button", text: "Next", on: { click: turn(1) } });
    this.panel.append(el("div", { class: "panel-tools" }, statusField, this.model.lanes.length > 1 ? laneField : null, orderField, this.said),
      el("div", { class: "sheet" }, this.table), el("p", { class: "more" }, this.back, this.next));
  }

  setFound(found) {
    this.found = found;
    this.page = 0;
    this.update(true);
  }

  filterBy(name) {
    this.status.value = STATUSES.find((status) => status.name === name).letter;
    this.page = 0;
    this.update(true);
  }

  /** Show the rows again; `isNow` chooses and sorts them anew, else that is done once a second. */
  update(isNow = false) {
    if (this.panel.hidden) return;
    if (isNow || performance.now() - (this.chosenAt ?? 0) > 1000) this.#choose();
    this.#show();
  }

  /** Show durations that grow. */
  tick() {
    this.update();
  }

  #choose() {
    this.chosenAt = performance.now();
    const { model } = this;
    const all = this.found ?? [...model.ids.keys()];
    const status = this.status.value;
    const lane = this.lane.value === "" ? null : Number(this.lane.value);
    this.chosen = all.filter((index) => (!status || model.status[index] === status) && (lane === null || model.lane[index] === lane));
    const keys = {
      urgency: (a, b) => URGENCY[model.status[a]] - URGENCY[model.status[b]] || a - b,
      duration: (a, b) => (model.seconds(b) ?? -1) - (model.seconds(a) ?? -1) || a - b,
      id: (a, b) => (model.ids[a] < model.ids[b] ? -1 : 1),
      plan: null,
    };
    const key = keys[this.order.value];
    if (key) this.chosen.sort(key);
  }

  #show() {
    const pages = Math.max(1, Math.ceil(this.chosen.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const first = this.page * PAGE;
    const shown = this.chosen.slice(first, first + PAGE);
    while (this.rows.length < shown.length) this.rows.push(this.#newRow());
    this.rows.forEach((row, at) => {
      if (at < shown.length) this.#fill(row, shown[at]);
      else row.element.remove();
    });
    this.back.hidden = this.next.hidden = pages === 1;
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === pages - 1;
    const range = pages === 1 ? "" : `${count(first + 1)}–${count(first + shown.length)} of `;
    setText(this.said, this.chosen.length ? `${range}${count(this.chosen.length)} ${this.chosen.length === 1 ? "task" : "tasks"}` : "No task is like that");
  }

  #newRow() {
    const row = { index: -1, key: "" };
    row.cells = ["", "", "wide", "right num wide", "wide", "right num"].map((names) => el("td", { class: names }));
    row.cells[0] = el("th", { scope: "row" });
    row.element = el("tr", {}, ...row.cells);
    return row;
  }

  #fill(row, index) {
    const { model } = this;
    if (!row.element.isConnected) this.body.append(row.element);
    if (row.index !== index) {
      row.index = index;
      const title = model.titles[index];
      const open = (event) => this.openTask(index, { from: event.currentTarget });
      replace(row.cells[0], el("button", { type: "button", class: "task-link", on: { click: open } }, given(model.ids[index])),
        title && title !== model.ids[index] ? el("span", { class: "task-title", text: title }) : null);
      const lane = model.lanes[model.lane[index]];
      replace(row.cells[2], lane ? [laneMark(model.lane[index]), " ", given(lane, "")] : "–");
      row.status = null;
    }
    const letter = model.status[index];
    if (row.status !== letter) {
      row.status = letter;
      replace(row.cells[1], statusTag(BY_LETTER[letter].name));
      row.element.className = letter === "F" ? "is-failed" : "";
    }
    setText(row.cells[3], model.last(index) ? String(model.last(index).number) : "–");
    setText(row.cells[4], model.workerOf(index) ?? "–");
    setText(row.cells[5], duration(model.seconds(index)));
  }
}
