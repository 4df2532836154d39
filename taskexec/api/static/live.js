// How a page follows a run: events are gathered and handed over once a frame; after a cut it begins anew.

import { eventsAt, get, runPath } from "./api.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const SILENT_MS = 45000;
/** While a page is hidden there are no frames; it then looks this often. */
const HIDDEN_MS = 1000;
const SLEEP_MS = 60000;

export class LiveRun {
  /**
   * `onChanges(changes[])` is called once a frame, `onReload(timeline)` when everything is to be taken in anew,
   * `onState("live" | "lost" | "ended")` when the connection changes.
   */
  constructor(run, { onChanges, onReload, onState }) {
    this.run = run;
    this.onChanges = onChanges;
    this.onReload = onReload;
    this.onState = onState;
    this.waiting = [];
    this.isAsked = false;
    this.failures = 0;
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.reload());
    addEventListener("online", () => this.source || this.reload());
    document.addEventListener("visibilitychange", () => this.#turn());
  }

  /** Follow from an entry of the log on. */
  follow(lastId) {
    this.#close();
    const source = new EventSource(eventsAt(runPath(this.run, `/events?after=${encodeURIComponent(lastId)}`)));
    this.source = source;
    source.addEventListener("open", () => {
      this.failures = 0;
      this.onState("live");
    });
    source.addEventListener("changes", (event) => this.#gather(JSON.parse(event.data)));
    source.addEventListener("end", (event) => {
      this.rest();
      this.#gather({ ...JSON.parse(event.data || "{}"), isEnd: true });
    });
    source.addEventListener("reset", () => this.reload());
    source.addEventListener("error", () => this.#later());
    this.#listen();
    for (const name of ["changes", "open", "heartbeat"]) source.addEventListener(name, () => this.#listen());
  }

  /**
   * A page that nobody looks at lets its connection go after a while: browsers have few for one host. When it is looked at
   * again it begins anew; also when the run had ended, since it may have been taken up again.
   */
  #turn() {
    clearTimeout(this.sleep);
    if (document.hidden) this.sleep = setTimeout(() => this.#close(), SLEEP_MS);
    else if (!this.source) this.reload();
  }

  /** The run has ended: nothing is followed until it is looked at again. */
  rest() {
    this.#close();
    this.onState("ended");
  }

  /** Read everything anew, and follow from there. */
  async reload() {
    this.#close();
    this.waiting = [];
    try {
      const timeline = await get(runPath(this.run, "/timeline"), { cache: "no-cache" });
      this.onReload(timeline);
    } catch {
      this.#later();
    }
  }

  #later() {
    this.#close();
    this.onState("lost");
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.timer = setTimeout(() => this.reload(), wait);
  }

  #listen() {
    clearTimeout(this.silence);
    // Comments that keep the connection open are not told to pages: a long silence is looked into.
    this.silence = setTimeout(() => this.source && this.reload(), SILENT_MS);
  }

  #gather(changes) {
    this.waiting.push(changes);
    if (this.isAsked) return;
    this.isAsked = true;
    const hand = () => {
      this.isAsked = false;
      const waiting = this.waiting;
      this.waiting = [];
      if (waiting.length) this.onChanges(waiting);
    };
    if (document.hidden) setTimeout(hand, HIDDEN_MS);
    else requestAnimationFrame(hand);
  }

  #close() {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
  }
}
