// Where each task stands in the graph: columns by level, few crossings, straight lines where possible.
// Long edges of small graphs run through the columns between, on one rail for all that begin at the same task.
// Source: Sugiyama, Tagawa and Toda (1981) for levels and barycentre sweeps; heights by pool adjacent violators.

export const NODE = { width: 168, height: 30, row: 40, gap: 72, inner: 20 };

/** A level may be so much taller than the picture should be before it is wrapped. */
const SLACK = 1.8;
const RAIL_ROW = 16;
const MOST_RAIL_POINTS = 1500;
const MOST_RAILED_TASKS = 600;

/** Return `{x, y, width, height, bends}`: left and top of each node, and for an edge (its number) its way points. */
export function layOut(model) {
  const web = weave(model);
  const columns = Array.from({ length: model.levels }, () => []);
  for (const index of firstOrder(web)) columns[web.level[index]].push(index);
  const sweeps = web.size < 1500 ? 16 : web.size < 6000 ? 6 : 2;
  const place = new Float64Array(web.size);
  columns.forEach((column) => number(column, place));
  for (let sweep = 0; sweep < sweeps; sweep += 1) {
    const isForward = sweep % 2 === 0;
    const order = isForward ? columns : [...columns].reverse();
    const near = isForward ? web.left : web.right;
    for (const column of order) {
      const keys = new Map(column.map((index) => [index, mean(near[index], place) ?? place[index]]));
      column.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
      number(column, place);
    }
  }
  return stand(web, columns);
}

/** Nodes, then way points, with their neighbours; `routes` has for an edge the way points that it runs through. */
function weave(model) {
  const web = { size: model.size, tasks: model.size, level: [...model.level], left: model.deps, right: model.dependents, routes: new Map() };
  if (model.size > MOST_RAILED_TASKS) return web;
  const stations = new Map();
  const edges = model.deps.flatMap((before, node) => before.map((other) => [other, node]));
  for (const [from, to] of edges) {
    for (let level = model.level[from] + 1; level < model.level[to]; level += 1) stations.set(`${from} ${level}`, [from, level]);
  }
  if (!stations.size || stations.size > MOST_RAIL_POINTS) return web;
  const numbers = new Map();
  for (const [key, [, level]] of stations) {
    numbers.set(key, web.level.length);
    web.level.push(level);
  }
  web.size = web.level.length;
  web.left = web.level.map(() => []);
  web.right = web.level.map(() => []);
  const joined = new Set();
  edges.forEach(([from, to], edge) => {
    const points = [];
    for (let level = model.level[from] + 1; level < model.level[to]; level += 1) points.push(numbers.get(`${from} ${level}`));
    if (points.length) web.routes.set(edge, points);
    const stops = [from, ...points, to];
    for (let at = 1; at < stops.length; at += 1) {
      const key = `${stops[at - 1]} ${stops[at]}`;
      if (joined.has(key)) continue;
      joined.add(key);
      web.right[stops[at - 1]].push(stops[at]);
      web.left[stops[at]].push(stops[at - 1]);
    }
  });
  return web;
}

/** Depth first from what depends on nothing, so that what belongs together stands together. */
function firstOrder(web) {
  const seen = new Uint8Array(web.size);
  const order = [];
  const stack = [];
  for (let root = 0; root < web.size; root += 1) {
    if (web.left[root].length || seen[root]) continue;
    stack.push(root);
    while (stack.length) {
      const index = stack.pop();
      if (seen[index]) continue;
      seen[index] = 1;
      order.push(index);
      const after = web.right[index];
      for (let at = after.length - 1; at >= 0; at -= 1) if (!seen[after[at]]) stack.push(after[at]);
    }
  }
  for (let index = 0; index < web.size; index += 1) if (!seen[index]) order.push(index);
  return order;
}

/** Number a column about its middle, so that columns of unlike height face each other. */
function number(column, place) {
  const half = (column.length - 1) / 2;
  column.forEach((index, at) => {
    place[index] = column.length > 1 ? (at - half) / Math.max(half, 1) * column.length : 0;
  });
}

function mean(indexes, values) {
  if (!indexes.length) return null;
  let sum = 0;
  for (const index of indexes) sum += values[index];
  return sum / indexes.length;
}

function stand(web, columns) {
  const widest = columns.reduce((most, column) => Math.max(most, column.length), 0);
  const rows = Math.max(24, Math.round(Math.sqrt(web.size * 2.2)));
  const x = new Float64Array(web.size);
  const y = new Float64Array(web.size);
  let left = 0;
  for (const column of columns) {
    const parts = column.length <= rows * SLACK ? 1 : Math.ceil(column.length / rows);
    const each = Math.ceil(column.length / parts) || 1;
    column.forEach((index, at) => {
      x[index] = left + Math.floor(at / each) * (NODE.width + NODE.inner);
      y[index] = (at % each - (Math.min(each, column.length) - 1) / 2) * NODE.row;
    });
    left += parts * (NODE.width + NODE.inner) - NODE.inner + NODE.gap;
  }
  if (widest <= rows * SLACK) settle(web, columns, y);
  if (!web.size) return { x, y, width: 0, height: 0, bends: new Map() };
  const top = y.reduce((least, value) => Math.min(least, value), Infinity);
  const bottom = y.reduce((most, value) => Math.max(most, value), -Infinity);
  for (let index = 0; index < web.size; index += 1) y[index] -= top;
  const bends = new Map();
  for (const [edge, points] of web.routes) bends.set(edge, points.map((point) => [x[point], y[point] + NODE.height / 2]));
  return { x, y, width: left - NODE.gap, height: bottom - top + NODE.height, bends };
}

/** Move nodes towards their neighbours, in their order and with their distances. */
function settle(web, columns, y) {
  const rounds = web.size < 800 ? 24 : web.size < 3000 ? 8 : 4;
  const tall = (index) => (index < web.tasks ? NODE.row : RAIL_ROW);
  for (let round = 0; round < rounds; round += 1) {
    const isForward = round % 2 === 0;
    const near = isForward ? web.left : web.right;
    const far = isForward ? web.right : web.left;
    for (const column of isForward ? columns : [...columns].reverse()) {
      let offset = 0;
      const offsets = column.map((index, at) => (offset += at ? (tall(column[at - 1]) + tall(index)) / 2 : 0));
      const wanted = column.map((index, at) => (mean(near[index], y) ?? mean(far[index], y) ?? y[index]) * 0.98 - offsets[at]);
      monotone(wanted).forEach((value, at) => {
        y[column[at]] = value + offsets[at];
      });
    }
  }
}

/** The least squares fit that never falls. */
function monotone(values) {
  const pools = [];
  for (const value of values) {
    pools.push([value, 1]);
    while (pools.length > 1 && pools[pools.length - 2][0] > pools[pools.length - 1][0]) {
      const [high, many] = pools.pop();
      const last = pools[pools.length - 1];
      last[0] = (last[0] * last[1] + high * many) / (last[1] + many);
      last[1] += many;
    }
  }
  return pools.flatMap(([value, many]) => Array(many).fill(value));
}
