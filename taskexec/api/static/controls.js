// What one may do to a run: stop it, have tasks run again, compare it; shown as far as the role allows.

import { get, runPath, safeLink, send } from "./api.js";
import { byId, el, notice, replace } from "./dom.js";

export class Controls {
  constructor(model, run, session, onDone) {
    Object.assign(this, { model, run, session, onDone });
    this.flower = safeLink(run.flower);
  }

  /** Show what can be done now. */
  update() {
    const failed = this.model.counts.failed ?? 0;
    const key = `${this.model.isFinal} ${failed > 0}`;
    if (key === this.shown) return;
    this.shown = key;
    const may = this.session.may("submitter");
    const button = (text, act, names = "") => el("button", { type: "button", class: names, text, on: { click: act } });
    const others = el("a", { class: "button", href: "/", text: "Compare", on: { click: (event) => this.#compare(event) } });
    replace(byId("run-tools"),
      this.flower ? el("a", { class: "button", href: this.flower, target: "_blank", rel: "noopener noreferrer", text: "Flower" }) : null,
      this.model.isFinal ? others : null,
      may && this.model.isFinal && failed ? button("Retry failed", () => this.retry(null)) : null,
      may && !this.model.isFinal ? button("Stop", () => this.#askStop(), "danger") : null);
  }

  #askStop() {
    const dialog = el("dialog", { class: "ask", "aria-labelledby": "ask-title" },
      el("h2", { id: "ask-title", text: "Stop this run?" }),
      el("p", { text: "Nothing further starts. What runs may finish, or is ended now." }),
      el("div", { class: "ask-tools" },
        el("button", { type: "button", class: "quiet", text: "Leave it", on: { click: () => dialog.close() } }),
        el("button", { type: "button", text: "Let running tasks finish", on: { click: () => this.#stop(dialog, false) } }),
        el("button", { type: "button", class: "danger", text: "End them now", on: { click: () => this.#stop(dialog, true) } })));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  async #stop(dialog, kill) {
    dialog.close();
    await this.#change("/stop", { kill }, "The run is being stopped.");
  }

  /** Have one task run again, or all that failed. */
  async retry(task) {
    const body = task === null ? { tasks: null, failed: true } : { tasks: [task], failed: false };
    await this.#change("/retry", body, task === null ? "The failed tasks run again." : `${task} runs again.`);
  }

  async #change(path, body, done) {
    try {
      await send("POST", runPath(this.run.run_id, path), body);
      notice(done);
      this.onDone();
    } catch (error) {
      notice(error.hint ? `${error.message}. ${error.hint}` : error.message, "bad");
    }
  }

  /** Choose another run: those of the same plan first. */
  async #compare(event) {
    event.preventDefault();
    const { runs } = await get("runs?limit=200");
    const others = runs.filter((run) => run.run_id !== this.run.run_id);
    others.sort((a, b) => (b.plan === this.run.plan) - (a.plan === this.run.plan));
    const choice = el("select", { id: "compare-with" }, ...others.map((run) => el("option", { value: run.run_id, text: `${run.run_id} · ${run.plan} · ${run.status}` })));
    const go = () => location.assign(`/compare/${encodeURIComponent(choice.value)}/${encodeURIComponent(this.run.run_id)}`);
    const dialog = el("dialog", { class: "ask", "aria-labelledby": "ask-title" }, el("h2", { id: "ask-title", text: "Compare with" }),
      others.length ? el("label", { class: "field stacked", for: "compare-with" }, el("span", { class: "sr", text: "Other run" }), choice) : el("p", { text: "There is no other run." }),
      el("div", { class: "ask-tools" }, el("button", { type: "button", class: "quiet", text: "Close", on: { click: () => dialog.close() } }),
        others.length ? el("button", { type: "button", class: "primary", text: "Compare", on: { click: go } }) : null));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}
