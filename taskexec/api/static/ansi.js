// How colours in output are read: only SGR sequences mean something, everything else is shown as what it is.

import { visible } from "./dom.js";

const ESCAPE = /\u001b(?:\[([0-9;:]*)m|\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]{0,4096}(?:\u0007|\u001b\\)|[@-Z\\-_=>])/g;
const UNFINISHED = /\u001b(?:\[[0-?]*[ -/]*|\][^\u0007\u001b]{0,4096}\u001b?)?$/;
const ERASE_LINE = /^\u001b\[[012]?K$/;

const clear = () => ({ bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false, fg: null, bg: null });

/** Reads output in pieces; a sequence may be cut anywhere. */
export class AnsiReader {
  constructor() {
    this.style = clear();
    this.rest = "";
  }

  /** Return the pieces of a text: `{text, style}`, or `{text, isCode: true}` for what is no text and no colour. */
  read(text) {
    const whole = this.rest + text;
    this.rest = UNFINISHED.exec(whole)?.[0] ?? "";
    const ready = this.rest ? whole.slice(0, whole.length - this.rest.length) : whole;
    const pieces = [];
    let at = 0;
    for (const match of ready.matchAll(ESCAPE)) {
      this.#text(pieces, ready.slice(at, match.index));
      at = match.index + match[0].length;
      if (match[1] !== undefined) this.style = apply(this.style, match[1]);
      else if (!ERASE_LINE.test(match[0])) pieces.push({ text: visible(match[0]), isCode: true });
    }
    this.#text(pieces, ready.slice(at));
    return pieces;
  }

  #text(pieces, text) {
    if (text) pieces.push({ text, style: this.style });
  }
}

const FLAGS = { 1: ["bold", true], 2: ["dim", true], 3: ["italic", true], 4: ["underline", true], 7: ["inverse", true],
  9: ["strike", true], 22: ["bold", false], 23: ["italic", false], 24: ["underline", false], 27: ["inverse", false],
  29: ["strike", false] };

function apply(style, parameters) {
  const codes = parameters.split(/[;:]/).map((code) => (code === "" ? 0 : Number(code)));
  let next = { ...style };
  while (codes.length) {
    const code = codes.shift();
    if (code === 0) next = clear();
    else if (FLAGS[code]) next[FLAGS[code][0]] = FLAGS[code][1];
    else if (code === 38 || code === 48) next[code === 38 ? "fg" : "bg"] = extended(codes);
    else if (code === 39) next.fg = null;
    else if (code === 49) next.bg = null;
    else paint(next, code);
    if (code === 22) next.dim = false;
  }
  return next;
}

function paint(style, code) {
  if (code >= 30 && code <= 37) style.fg = code - 30;
  else if (code >= 90 && code <= 97) style.fg = code - 82;
  else if (code >= 40 && code <= 47) style.bg = code - 40;
  else if (code >= 100 && code <= 107) style.bg = code - 92;
}

/** A number of 0 to 15, or `rgb(…)`, of what follows 38 or 48; null where it is none. */
function extended(codes) {
  const kind = codes.shift();
  if (kind === 5) return of256(codes.shift());
  if (kind !== 2) return null;
  const rgb = codes.splice(0, 3);
  return rgb.length === 3 && rgb.every((part) => part >= 0 && part <= 255) ? `rgb(${rgb.join(" ")})` : null;
}

function of256(number) {
  if (!(number >= 0 && number <= 255)) return null;
  if (number < 16) return number;
  if (number >= 232) return `rgb(${Array(3).fill(8 + (number - 232) * 10).join(" ")})`;
  const steps = [0, 95, 135, 175, 215, 255];
  const cube = number - 16;
  return `rgb(${steps[Math.floor(cube / 36)]} ${steps[Math.floor(cube / 6) % 6]} ${steps[cube % 6]})`;
}

/** Make the element of a piece; colours beyond the sixteen are set through the object model. */
export function pieceElement(piece) {
  if (piece.isCode) {
    const code = document.createElement("span");
    code.className = "log-code";
    code.textContent = piece.text;
    return code;
  }
  const { style } = piece;
  const names = ["bold", "dim", "italic", "underline", "strike", "inverse"].filter((name) => style[name]).map((name) => `a-${name}`);
  for (const side of ["fg", "bg"]) if (typeof style[side] === "number") names.push(`a-${side}${style[side]}`);
  const isPlain = !names.length && style.fg === null && style.bg === null;
  if (isPlain) return document.createTextNode(visible(piece.text));
  const span = document.createElement("span");
  span.className = names.join(" ");
  if (typeof style.fg === "string") span.style.setProperty("color", style.fg);
  if (typeof style.bg === "string") span.style.setProperty("background-color", style.bg);
  span.textContent = visible(piece.text);
  return span;
}
