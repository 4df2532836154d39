// Why a task waits, runs or has ended as it has: the tree of `tek why`, as nested lists.

import { el } from "./dom.js";

const DEEPEST = 12;

/** Return the elements of an answer of `…/why`. */
export function whyTree(answer) {
  const root = answer.why ?? answer;
  const parts = [el("ul", { class: "why" }, cause(root, 0))];
  const changes = (answer.changes ?? []).map((change) => change.text ?? "").filter(Boolean);
  if (changes.length) parts.push(el("h4", { text: "It would start now with" }), el("ul", { class: "why-changes" }, ...changes.map((text) => el("li", {}, ...marked(text)))));
  return parts;
}

function cause(node, depth) {
  const causes = depth < DEEPEST ? node.causes ?? [] : [];
  return el("li", {}, ...marked(node.text ?? ""), causes.length ? el("ul", {}, ...causes.map((one) => cause(one, depth + 1))) : null);
}

/** Text in which names stand in backticks, as parts. */
function marked(text) {
  return String(text).split("`").map((part, at) => (at % 2 ? el("code", { text: part }) : part));
}
