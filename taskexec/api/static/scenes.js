// What the graph shows: every task, or tasks drawn together by lane or by level.

import { layOut, NODE } from "./layout.js";

/**
 * A scene has `size` boxes (`x, y, w, h` by index), `from` and `to` (ends of edges) with `weight` (edges drawn as one,
 * null where each is its own), `bends` (way points by edge), `width`, `height`, `members(box)` (its tasks), `boxOf(task)` and `label(box)`.
 */
export function taskScene(model) {
  const { x, y, width, height, bends } = layOut(model);
  const from = [];
  const to = [];
  model.deps.forEach((before, index) => before.forEach((other) => {
    from.push(other);
    to.push(index);
  }));
  return {
    kind: "tasks", size: model.size, x, y, w: NODE.width, h: NODE.height, width, height, from, to, bends, weight: null, rows: null,
    members: (box) => [box], boxOf: (task) => task, label: (box) => model.ids[box],
  };
}

const GROUP = { width: 118, height: 42, gapX: 44, gapY: 26 };

/** Pixels kept free for the names of rows. */
export const ROW_NAMES = 128;

const MOST_COLUMNS = 24;
const LEVELS_A_ROW = 12;
const MOST_LEVEL_BOXES = 120;

/** One box for all tasks of a lane at a level, or at several in a row where there are many; lanes are rows. */
export function laneScene(model) {
  const each = Math.ceil(model.levels / MOST_COLUMNS);
  const columns = Math.ceil(model.levels / each);
  const scene = grouped(model, (task) => model.lane[task] * columns + Math.floor(model.level[task] / each), (key) => ({
    column: key % columns, row: Math.floor(key / columns), label: levelName(key % columns, each, model.levels),
  }));
  scene.kind = "lanes";
  scene.rows = model.lanes.map((name, row) => ({ name: name || "no lane", y: row * (GROUP.height + GROUP.gapY), lane: row }));
  return scene;
}

/** One box for all tasks of a level, or of several in a row; as lines are read. */
export function levelScene(model) {
  const each = Math.ceil(model.levels / MOST_LEVEL_BOXES);
  const scene = grouped(model, (task) => Math.floor(model.level[task] / each), (key) => ({
    column: key % LEVELS_A_ROW, row: Math.floor(key / LEVELS_A_ROW), label: levelName(key, each, model.levels),
  }));
  scene.kind = "levels";
  return forward(scene);
}

function levelName(number, each, levels) {
  const first = number * each + 1;
  const last = Math.min(first + each - 1, levels);
  return last > first ? `levels ${first}–${last}` : `level ${first}`;
}

/** Leave out the edges to the next line: that it goes on there is clear. */
function forward(scene) {
  const kept = [...scene.from.keys()].filter((edge) => scene.x[scene.to[edge]] > scene.x[scene.from[edge]] && scene.y[scene.to[edge]] === scene.y[scene.from[edge]]);
  for (const name of ["from", "to", "weight"]) scene[name] = kept.map((edge) => scene[name][edge]);
  return scene;
}

function grouped(model, keyOf, placeOf) {
  const boxOfKey = new Map();
  const groups = [];
  const boxOf = new Int32Array(model.size);
  for (let task = 0; task < model.size; task += 1) {
    const key = keyOf(task);
    if (!boxOfKey.has(key)) {
      boxOfKey.set(key, groups.length);
      groups.push({ ...placeOf(key), tasks: [] });
    }
    boxOf[task] = boxOfKey.get(key);
    groups[boxOf[task]].tasks.push(task);
  }
  const x = Float64Array.from(groups, (group) => group.column * (GROUP.width + GROUP.gapX));
  const y = Float64Array.from(groups, (group) => group.row * (GROUP.height + GROUP.gapY));
  return {
    size: groups.length, x, y, w: GROUP.width, h: GROUP.height, ...edgesBetween(model, boxOf),
    width: x.reduce((most, value) => Math.max(most, value + GROUP.width), 0),
    height: y.reduce((most, value) => Math.max(most, value + GROUP.height), 0),
    rows: null, members: (box) => groups[box].tasks, boxOf: (task) => boxOf[task], label: (box) => groups[box].label,
  };
}

function edgesBetween(model, boxOf) {
  const weights = new Map();
  model.deps.forEach((before, index) => before.forEach((other) => {
    if (boxOf[other] === boxOf[index]) return;
    const key = boxOf[other] * model.size + boxOf[index];
    weights.set(key, (weights.get(key) ?? 0) + 1);
  }));
  const from = [];
  const to = [];
  for (const key of weights.keys()) {
    from.push(Math.floor(key / model.size));
    to.push(key % model.size);
  }
  return { from, to, weight: [...weights.values()], bends: new Map() };
}
