// The output of a task: its end at once, then what comes, with colours; old lines go when there are very many.

import { ask, eventsAt, taskPath } from "./api.js";
import { AnsiReader, pieceElement } from "./ansi.js";
import { append, el, replace, setText } from "./dom.js";
import { bytes, count } from "./format.js";

const TAIL_BYTES = 256 * 1024;
/** Of a log longer than this only the end is read. */
const ENOUGH_BYTES = 1024 * 1024;
const MOST_LINES = 4000;
const MOST_LINE = 8000;

export class LogView {
  constructor(run, task) {
    this.run = run;
    this.task = task;
    this.stream = "both";
    this.isFollowing = true;
    this.said = el("p", { class: "log-said muted" });
    this.lines = el("pre", { class: "log-lines", role: "log", "aria-label": "Output", "aria-live": "off", tabindex: "0" });
    this.lines.addEventListener("scroll", () => {
      this.isFollowing = this.lines.scrollTop + this.lines.clientHeight > this.lines.scrollHeight - 30;
    });
    this.element = el("div", { class: "log" }, this.#tools(), this.lines, this.said);
    this.attemptNumbers = [];
  }

  #tools() {
    const label = (text, control) => el("label", { class: "field small" }, el("span", { text }), control);
    this.attemptChoice = el("select", { on: { change: () => this.open(Number(this.attemptChoice.value), false) } });
    this.streamChoice = el("select", { on: { change: () => this.#turn() } },
      ...[["both", "both"], ["stdout", "stdout"], ["stderr", "stderr"]].map(([value, text]) => el("option", { value, text })));
    this.wrapChoice = el("input", { type: "checkbox", checked: true, on: { change: () => this.lines.classList.toggle("no-wrap", !this.wrapChoice.checked) } });
    this.download = el("a", { class: "quiet-link", text: "Whole log", target: "_blank", rel: "noopener" });
    return el("div", { class: "log-tools" }, label("Attempt", this.attemptChoice), label("Stream", this.streamChoice),
      el("label", { class: "field small" }, this.wrapChoice, el("span", { text: "Wrap lines" })), this.download);
  }

  /** Show the attempts there are, and the output of the last; `isLive` while the task may still write. */
  show(numbers, isLive) {
    const isNew = numbers.length !== this.attemptNumbers.length;
    this.attemptNumbers = numbers;
    if (isNew) {
      replace(this.attemptChoice, ...numbers.map((number) => el("option", { value: number, text: `${number}` })));
      this.attemptChoice.disabled = numbers.length < 2;
    }
    if (!numbers.length) {
      setText(this.said, "No attempt has begun, so there is no output yet.");
      return;
    }
    const last = numbers[numbers.length - 1];
    if (isNew) {
      this.attemptChoice.value = String(last);
      this.open(last, isLive);
    } else if (!isLive && this.isLive && this.attempt === last && !this.source) this.open(last, false);
  }

  #turn() {
    this.stream = this.streamChoice.value;
    if (this.attempt) this.open(this.attempt, this.isLive);
  }

  /** Show one attempt. */
  open(attempt, isLive) {
    this.close();
    Object.assign(this, { attempt, isLive, readers: {}, ends: {}, waiting: [], lineCount: 0, dropped: 0, isFollowing: true });
    replace(this.lines);
    setText(this.said, "");
    const query = `attempt=${attempt}&stream=${this.stream}`;
    this.download.setAttribute("href", eventsAt(taskPath(this.run, this.task, `/logs?${query}`)));
    this.generation = (this.generation ?? 0) + 1;
    if (isLive) this.#follow(query);
    else this.#read(query, this.generation);
  }

  async #read(query, generation) {
    setText(this.said, "Reading …");
    try {
      const { text, all } = await readEnd(taskPath(this.run, this.task, `/logs?${query}`));
      if (generation !== this.generation) return;
      this.#write(text, "stdout");
      this.#flush();
      const isCut = all > text.length && all > TAIL_BYTES;
      setText(this.said, isCut ? `The last ${bytes(TAIL_BYTES)} of ${bytes(all)}.` : this.lineCount ? "" : "It wrote nothing.");
    } catch (error) {
      if (generation !== this.generation) return;
      setText(this.said, error.status === 404 ? "It wrote nothing." : error.message);
    }
  }

  #follow(query) {
    setText(this.said, "Waiting for output …");
    const source = new EventSource(eventsAt(taskPath(this.run, this.task, `/logs?${query}&follow=true`)));
    this.source = source;
    source.addEventListener("log", (event) => {
      const piece = JSON.parse(event.data);
      const end = this.ends[piece.stream] ?? 0;
      if (piece.offset < end) return; // it was told before a cut
      this.ends[piece.stream] = piece.offset + Math.max(1, piece.bytes ?? 1);
      this.waiting.push(piece);
      setText(this.said, "");
      this.asked ??= requestAnimationFrame(() => this.#flush());
    });
    source.addEventListener("end", () => {
      this.close();
      this.isLive = false;
      this.#flush();
      if (!this.lineCount) setText(this.said, "It wrote nothing.");
    });
    source.addEventListener("error", () => setText(this.said, source.readyState === 2 ? "The output cannot be followed." : "Connecting again …"));
  }

  #flush() {
    if (this.asked) cancelAnimationFrame(this.asked);
    this.asked = null;
    for (const piece of this.waiting.splice(0)) this.#write(piece.text, piece.stream);
    if (this.isFollowing) this.lines.scrollTop = this.lines.scrollHeight;
  }

  #write(text, stream) {
    const reader = (this.readers[stream] ??= { ansi: new AnsiReader(), line: null });
    const rows = text.replace(/\r+\n/g, "\n").split("\n");
    const made = document.createDocumentFragment();
    rows.forEach((row, number) => {
      if (number > 0) reader.line = null;
      if (row) this.#writeRow(reader, row, stream, made);
      else if (number < rows.length - 1 && !reader.line) this.#newLine(reader, stream, made);
    });
    this.lines.append(made);
    this.#drop();
  }

  #writeRow(reader, row, stream, made) {
    const back = row.lastIndexOf("\r");
    if (back >= 0 && back < row.length - 1) {
      // The line was written over, as progress bars do: its last state counts.
      if (reader.line) replace(reader.line);
      reader.ansi.read(row.slice(0, back));
    }
    const shown = back >= 0 ? row.slice(back === row.length - 1 ? row.lastIndexOf("\r", back - 1) + 1 : back + 1, back === row.length - 1 ? -1 : undefined) : row;
    if (!reader.line) this.#newLine(reader, stream, made);
    const room = MOST_LINE - (reader.line.textContent?.length ?? 0);
    const pieces = reader.ansi.read(shown.length > room ? `${shown.slice(0, Math.max(0, room))}… (${count(shown.length)} characters)` : shown);
    append(reader.line, pieces.map(pieceElement));
  }

  #newLine(reader, stream, made) {
    reader.line = el("div", { class: stream === "stderr" ? "log-line err" : "log-line" });
    made.append(reader.line);
    this.lineCount += 1;
  }

  #drop() {
    const many = this.lines.childElementCount - MOST_LINES;
    if (many <= 0) return;
    for (let left = many; left > 0; left -= 1) this.lines.firstElementChild.remove();
    this.dropped += many;
    setText(this.said, `${count(this.dropped)} earlier lines are in the whole log.`);
  }

  /** Stop following. */
  close() {
    this.source?.close();
    this.source = null;
  }
}

/** Read a log whole or, when it is long, its end: `{text, all}` with its length in bytes, 0 where that does not matter. */
async function readEnd(path) {
  const stop = new AbortController();
  const response = await ask(path, { signal: stop.signal });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    text += decoder.decode(piece.value, { stream: true });
    if (text.length > ENOUGH_BYTES) {
      stop.abort();
      const end = await ask(path, { headers: { Range: `bytes=-${TAIL_BYTES}` } });
      return { text: await end.text(), all: Number(/\/(\d+)$/.exec(end.headers.get("Content-Range") ?? "")?.[1] ?? 0) };
    }
  }
  return { text: text + decoder.decode(), all: 0 };
}
