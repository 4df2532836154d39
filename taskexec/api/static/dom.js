// How elements are made: text goes in as text only, and what cannot be seen in it is shown.

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
// What turns the direction of text around, or takes no room: it makes one name look like another.
const HIDDEN = /[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/g;

const NAMES = { 0: "NUL", 7: "BEL", 8: "BS", 13: "CR", 27: "ESC", 127: "DEL" };

// In words: signs for them are missing in many fonts.
function point(character) {
  const code = character.codePointAt(0);
  return `‹${NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}›`;
}

/** Text with control characters and marks of direction made visible; line ends and tabs stay. */
export function visible(value) {
  const text = String(value ?? "");
  const whole = text.toWellFormed ? text.toWellFormed() : text;
  return whole.replace(CONTROL, point).replace(HIDDEN, point);
}

/** The same, on one line. */
export const oneLine = (value) => visible(value).replace(/\n/g, "↵").replace(/\t/g, " ");

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. `attributes`: `class`, `text`, `on` (listeners), `data` (dataset), else attributes; null, undefined
 * and false are left out. Children: elements or texts, null for none.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element, with the same attributes. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = visible(value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Append elements and texts; null, undefined and false are left out. */
export function append(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : visible(child));
  }
}

/** Put these in the place of all children. */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** Set text only where it differs, so that nothing is laid out or read aloud again for nothing. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

export const byId = (id) => document.getElementById(id);

/** Say something in passing, at the foot of the page. */
export function notice(text, kind = "") {
  const line = el("p", { class: `notice ${kind}`, text });
  byId("notices").append(line);
  setTimeout(() => line.remove(), kind === "bad" ? 12000 : 5000);
}
