// How the graph is drawn at each distance: named boxes from near, signs from further, shares of areas from far away.

import { count, shorten } from "./format.js";
import { oneLine } from "./dom.js";
import { drawMark, drawShares, drawSign, MONO, SANS } from "./paint.js";
import { ROW_NAMES } from "./scenes.js";

const NAMED_PX = 13;
const SIGNED_PX = 5.5;
const TINY_PX = 2;
const MOST_TINY = 6000;
const MOST_EDGES = 9000;
const CELL_PX = 13;
const EDGE_LIGHT = 0.32;

/** Draw a scene; return `{level: "names" | "signs" | "areas", hiddenEdges}`. */
export function paintGraph(context, view, scene, state) {
  const { width, height, ratio, scale } = view;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const seen = { left: view.x, top: view.y, right: view.x + width / scale, bottom: view.y + height / scale };
  const tall = scene.h * scale;
  const isFar = scene.kind === "tasks" && tall < (scene.size > MOST_TINY ? SIGNED_PX : TINY_PX);
  const painter = { context, view, scene, state, seen, palette: state.palette };
  const hiddenEdges = paintEdges(painter, isFar);
  if (isFar) paintAreas(painter);
  else paintBoxes(painter, tall);
  paintHot(painter);
  if (scene.rows) paintRows(painter);
  if (state.focus >= 0) paintFocus(painter);
  return { level: isFar ? "areas" : tall < NAMED_PX ? "signs" : "names", hiddenEdges };
}

const px = ({ view }, x, y) => [(x - view.x) * view.scale, (y - view.y) * view.scale];

function isOutside({ scene, seen }, a, b) {
  const left = Math.min(scene.x[a], scene.x[b]);
  const right = Math.max(scene.x[a], scene.x[b]) + scene.w;
  const top = Math.min(scene.y[a], scene.y[b]);
  const bottom = Math.max(scene.y[a], scene.y[b]) + scene.h;
  return right < seen.left || left > seen.right || bottom < seen.top || top > seen.bottom;
}

/** Trace an edge: horizontal where it passes a column, smooth between. */
function edgePath(painter, edge) {
  const { context, scene } = painter;
  const [from, to] = [scene.from[edge], scene.to[edge]];
  let [x, y] = px(painter, scene.x[from] + scene.w, scene.y[from] + scene.h / 2);
  context.moveTo(x, y);
  for (const [bendX, bendY] of scene.bends.get(edge) ?? []) {
    [x, y] = curve(context, x, y, ...px(painter, bendX, bendY));
    [x, y] = px(painter, bendX + scene.w, bendY);
    context.lineTo(x, y);
  }
  curve(context, x, y, ...px(painter, scene.x[to], scene.y[to] + scene.h / 2), 30 * painter.view.scale);
}

function curve(context, x0, y0, x1, y1, least = 0) {
  const bend = x1 > x0 ? (x1 - x0) / 2 : least;
  context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
  return [x1, y1];
}

function paintEdges(painter, isFar) {
  const { context, scene, palette, state } = painter;
  const shown = [];
  for (let edge = 0; edge < scene.from.length; edge += 1) {
    if (!isOutside(painter, scene.from[edge], scene.to[edge])) shown.push(edge);
  }
  if (shown.length > (isFar ? MOST_EDGES / 3 : MOST_EDGES)) return shown.length;
  context.strokeStyle = palette.get("edge");
  context.globalAlpha = (shown.length > 1500 ? EDGE_LIGHT : 0.8) * (state.found ? 0.4 : 1);
  context.lineWidth = shown.length > 1500 ? 0.8 : 1.2;
  context.beginPath();
  for (const edge of shown) {
    if (scene.weight && scene.weight[edge] > 1) continue;
    edgePath(painter, edge);
  }
  context.stroke();
  if (scene.weight) {
    for (const edge of shown.filter((edge) => scene.weight[edge] > 1)) {
      context.lineWidth = 1 + Math.min(5, Math.log2(scene.weight[edge]) / 2);
      context.beginPath();
      edgePath(painter, edge);
      context.stroke();
    }
  }
  context.globalAlpha = 1;
  return 0;
}

/** The critical path, and what the focus depends on and leads to. */
function paintHot(painter) {
  const { context, scene, palette, state } = painter;
  context.lineWidth = 2.4;
  if (state.hot) {
    context.strokeStyle = palette.get("hot");
    context.beginPath();
    for (const edge of state.hotEdges) edgePath(painter, edge);
    context.stroke();
    for (const task of state.hot) outline(painter, scene.boxOf(task), "hot", 2);
  }
  if (state.focus < 0) return;
  context.strokeStyle = palette.get("focus");
  context.lineWidth = 1.8;
  context.beginPath();
  for (const edge of state.near) if (!isOutside(painter, scene.from[edge], scene.to[edge])) edgePath(painter, edge);
  context.stroke();
}

function outline(painter, box, colour, width, shift = 0) {
  const { context, scene, view, palette } = painter;
  const [x, y] = px(painter, scene.x[box], scene.y[box]);
  const [w, h] = [Math.max(scene.w * view.scale, 3), Math.max(scene.h * view.scale, 3)];
  context.strokeStyle = palette.get(colour);
  context.lineWidth = width;
  context.beginPath();
  context.roundRect(x - shift, y - shift, w + 2 * shift, h + 2 * shift, Math.min(7 + shift, h / 3));
  context.stroke();
}

function paintFocus(painter) {
  const { scene, view, context, palette, state } = painter;
  outline(painter, state.focus, "focus", 2.5, 3);
  if (scene.h * view.scale >= NAMED_PX) return;
  const [x, y] = px(painter, scene.x[state.focus] + scene.w / 2, scene.y[state.focus]);
  const text = shorten(oneLine(scene.label(state.focus)), 40);
  context.font = `600 12px ${MONO}`;
  const width = context.measureText(text).width + 16;
  const left = Math.min(Math.max(x - width / 2, 4), view.width - width - 4);
  const top = y > 34 ? y - 30 : y + 12;
  context.fillStyle = palette.get("ink");
  context.beginPath();
  context.roundRect(left, top, width, 22, 6);
  context.fill();
  context.fillStyle = palette.get("surface");
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, left + 8, top + 11.5);
}

function paintBoxes(painter, tall) {
  const { scene, seen, state, context } = painter;
  const draw = scene.kind !== "tasks" ? paintGroup : tall < SIGNED_PX ? paintTiny : tall < NAMED_PX ? paintSmall : paintCard;
  for (let box = 0; box < scene.size; box += 1) {
    const [x, y] = [scene.x[box], scene.y[box]];
    if (x > seen.right || y > seen.bottom || x + scene.w < seen.left || y + scene.h < seen.top) continue;
    context.globalAlpha = state.found && !state.found.has(box) ? 0.18 : 1;
    draw(painter, box, ...px(painter, x, y));
  }
  context.globalAlpha = 1;
}

function paintTiny({ context, scene, view, palette, state }, box, x, y) {
  const letter = state.model.status[box];
  context.fillStyle = "SFR".includes(letter) ? palette.fill(context, letter) : palette.strong(letter);
  if ("wrq".includes(letter)) context.globalAlpha *= 0.45;
  context.fillRect(x, y, Math.max(2, scene.w * view.scale), Math.max(2, scene.h * view.scale));
}

function paintSmall({ context, scene, view, palette, state }, box, x, y) {
  const letter = state.model.status[box];
  const [w, h] = [scene.w * view.scale, scene.h * view.scale];
  context.fillStyle = palette.pale(letter);
  context.fillRect(x, y, w, h);
  context.strokeStyle = palette.strong(letter);
  context.lineWidth = letter === "F" ? 2 : 0.8;
  context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
  drawSign(context, palette, letter, x + Math.min(w / 2, h * 0.8), y + h / 2, Math.min(h * 0.8, 10));
  context.fillStyle = palette.lane(state.model.lane[box]);
  context.fillRect(x + w - Math.max(2, w * 0.04), y, Math.max(2, w * 0.04), h);
}

function paintCard(painter, box, x, y) {
  const { context, scene, view, palette, state } = painter;
  const letter = state.model.status[box];
  const [w, h] = [scene.w * view.scale, scene.h * view.scale];
  context.fillStyle = palette.pale(letter);
  context.strokeStyle = letter === "w" ? palette.get("line") : palette.strong(letter);
  context.lineWidth = letter === "F" ? 2 : 1.1;
  context.setLineDash(letter === "X" || letter === "C" ? [4, 3] : []);
  context.beginPath();
  context.roundRect(x, y, w, h, Math.min(7, h / 3.5));
  context.fill();
  context.stroke();
  context.setLineDash([]);
  const size = Math.min(h * 0.42, 14);
  drawSign(context, palette, letter, x + h * 0.5, y + h / 2, size);
  drawMark(context, palette, state.model.lane[box], x + w - h * 0.42, y + h / 2, Math.min(h / 30, 1));
  const font = Math.min(13, Math.max(8, h * 0.42));
  context.font = `600 ${font}px ${MONO}`;
  context.fillStyle = palette.get("ink");
  context.textAlign = "left";
  context.textBaseline = "middle";
  const room = Math.floor((w - h * 1.75) / (font * 0.605));
  context.fillText(shorten(oneLine(scene.label(box)), room), x + h * 0.92, y + h / 2 + 0.5);
}

function paintGroup(painter, box, x, y) {
  const { context, scene, view, palette, state } = painter;
  const [w, h] = [scene.w * view.scale, scene.h * view.scale];
  const counts = state.countsOf(box);
  context.fillStyle = palette.get("surface");
  context.strokeStyle = counts.F ? palette.strong("F") : palette.get("line");
  context.lineWidth = counts.F ? 1.8 : 1.1;
  context.beginPath();
  context.roundRect(x, y, w, h, Math.min(8, h / 4));
  context.fill();
  const isNamed = h >= 26;
  const bar = isNamed
    ? { x: x + w * 0.06, y: y + h * 0.62, width: w * 0.88, height: h * 0.2 }
    : { x: x + 1, y: y + 1, width: w - 2, height: h - 2 };
  drawShares(context, palette, counts, bar);
  context.stroke();
  if (!isNamed) return;
  const font = Math.min(13, h * 0.28);
  const [text, baseline] = [count(scene.members(box).length), y + h * 0.36];
  context.textBaseline = "middle";
  context.fillStyle = palette.get("ink");
  context.font = `650 ${font}px ${SANS}`;
  context.textAlign = "left";
  context.fillText(text, x + w * 0.06, baseline);
  context.font = `${font * 0.86}px ${SANS}`;
  context.fillStyle = palette.get("muted");
  context.textAlign = "right";
  context.fillText(counts.F ? `${count(counts.F)} failed` : scene.label(box), x + w * 0.94, baseline);
}

/** Names of the rows, at the left edge wherever one looks. */
function paintRows(painter) {
  const { context, scene, view, palette } = painter;
  const tall = scene.h * view.scale;
  if (tall < 9) return;
  context.font = `600 12px ${SANS}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const [gutter] = px(painter, 0, 0);
  for (const row of scene.rows) {
    const [, y] = px(painter, 0, row.y);
    if (y < -tall || y > view.height) continue;
    const isBeside = gutter > ROW_NAMES - 20;
    const text = shorten(oneLine(row.name), isBeside ? 13 : 28);
    const at = isBeside ? y + tall / 2 : y - 9;
    context.globalAlpha = 0.86;
    context.fillStyle = palette.get("surface");
    context.fillRect(6, at - 9, context.measureText(text).width + 26, 18);
    context.globalAlpha = 1;
    drawMark(context, palette, row.lane, 15, at, 0.9);
    context.fillStyle = palette.get("muted");
    context.fillText(text, 26, at + 0.5);
  }
}

/** From far away: cells that stand still in the world, each with the shares of the statuses in it. */
function paintAreas(painter) {
  const { context, scene, view, palette, state, seen } = painter;
  const cell = 2 ** Math.ceil(Math.log2(CELL_PX / view.scale));
  const cells = new Map();
  const across = Math.ceil(scene.width / cell) + 2;
  for (let box = 0; box < scene.size; box += 1) {
    const [x, y] = [scene.x[box] + scene.w / 2, scene.y[box] + scene.h / 2];
    if (x < seen.left - cell || x > seen.right + cell || y < seen.top - cell || y > seen.bottom + cell) continue;
    const key = Math.floor(y / cell) * across + Math.floor(x / cell);
    let found = cells.get(key);
    if (!found) cells.set(key, (found = { counts: {}, isFound: !state.found }));
    const letter = state.model.status[box];
    found.counts[letter] = (found.counts[letter] ?? 0) + 1;
    if (state.found?.has(box)) found.isFound = true;
  }
  const size = cell * view.scale - 1.5;
  for (const [key, { counts, isFound }] of cells) {
    const [x, y] = px(painter, (key % across) * cell, Math.floor(key / across) * cell);
    context.globalAlpha = isFound ? 1 : 0.15;
    drawShares(context, palette, counts, { x, y, width: size, height: size }, true);
  }
  context.globalAlpha = 1;
}
