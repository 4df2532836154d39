// How tasks look on a canvas: colour, sign and pattern of each status, so that colour is never the only difference.

import { colours } from "./frame.js";
import { BY_LETTER, MARKS, STATUSES } from "./status.js";

const NAMES = ["paper", "surface", "ink", "muted", "line", "edge", "hot", "accent", "focus",
  ...STATUSES.flatMap(({ name }) => [`s-${name}`, `t-${name}`]), ...MARKS.map((_, index) => `q${index}`)];

export const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
export const SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

const LANE_MARKS = MARKS.map((path) => new Path2D(path));

/** The colours of the style sheet, with patterns made of them. */
export class Palette {
  constructor() {
    this.renew();
  }

  /** Read the colours again: they have changed. */
  renew() {
    this.colours = colours(NAMES);
    this.patterns = {};
  }

  get(name) {
    return this.colours[name];
  }

  /** Strong colour of a status. */
  strong(letter) {
    return this.colours[`t-${BY_LETTER[letter].name}`];
  }

  /** Pale colour of a status, for what has text on it. */
  pale(letter) {
    return this.colours[`s-${BY_LETTER[letter].name}`];
  }

  lane(number) {
    return this.colours[`q${number % MARKS.length}`];
  }

  /** Fill for areas of a status: plain when done, hatched while running, crossed when failed, dotted when waiting. */
  fill(context, letter) {
    this.patterns[letter] ??= this.#pattern(context, letter);
    return this.patterns[letter];
  }

  #pattern(context, letter) {
    const strong = this.strong(letter);
    if (letter === "S") return strong;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const paint = tile.getContext("2d");
    paint.fillStyle = letter === "R" || letter === "F" ? strong : this.pale(letter);
    paint.fillRect(0, 0, 8, 8);
    paint.strokeStyle = letter === "R" || letter === "F" ? this.colours.surface : strong;
    paint.fillStyle = strong;
    paint.globalAlpha = letter === "R" || letter === "F" ? 0.55 : 0.8;
    paint.lineWidth = 1.5;
    TILES[letter](paint);
    return context.createPattern(tile, "repeat");
  }
}

const stroke = (paint, ...lines) => {
  paint.beginPath();
  for (const [x0, y0, x1, y1] of lines) {
    paint.moveTo(x0, y0);
    paint.lineTo(x1, y1);
  }
  paint.stroke();
};

const TILES = {
  R: (paint) => stroke(paint, [-2, 6, 2, 10], [-2, -2, 10, 10], [6, -2, 10, 2]),
  F: (paint) => stroke(paint, [0, 0, 8, 8], [8, 0, 0, 8]),
  q: (paint) => stroke(paint, [0, 4, 8, 4]),
  r: (paint) => stroke(paint, [4, 0, 4, 8]),
  w: (paint) => paint.fillRect(3, 3, 1.5, 1.5),
  X: (paint) => stroke(paint, [-2, 2, 2, -2], [-2, 10, 10, -2], [6, 10, 10, 6]),
  C: (paint) => stroke(paint, [1, 4, 6, 4]),
  P: (paint) => stroke(paint, [0, 2, 8, 2], [0, 6, 8, 6]),
};

/** Draw the sign of a status about a point, in a square of `size`. */
export function drawSign(context, palette, letter, x, y, size) {
  const half = size / 2;
  context.strokeStyle = context.fillStyle = palette.strong(letter);
  context.lineWidth = Math.max(1.2, size / 7);
  context.lineCap = "round";
  context.beginPath();
  SIGNS[letter](context, x, y, half);
}

const line = (context, ...points) => {
  points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
};

const SIGNS = {
  S: (context, x, y, r) => {
    line(context, [x - r * 0.8, y + r * 0.05], [x - r * 0.2, y + r * 0.65], [x + r * 0.85, y - r * 0.65]);
    context.stroke();
  },
  F: (context, x, y, r) => {
    line(context, [x - r * 0.7, y - r * 0.7], [x + r * 0.7, y + r * 0.7]);
    line(context, [x + r * 0.7, y - r * 0.7], [x - r * 0.7, y + r * 0.7]);
    context.stroke();
  },
  R: (context, x, y, r) => {
    line(context, [x - r * 0.6, y - r * 0.8], [x + r * 0.85, y], [x - r * 0.6, y + r * 0.8]);
    context.closePath();
    context.fill();
  },
  q: (context, x, y, r) => {
    context.arc(x, y, r * 0.75, 0, 7);
    context.stroke();
    context.beginPath();
    context.moveTo(x, y);
    context.arc(x, y, r * 0.75, -Math.PI / 2, Math.PI / 2);
    context.fill();
  },
  r: (context, x, y, r) => {
    context.arc(x, y, r * 0.75, 0, 7);
    context.stroke();
  },
  w: (context, x, y, r) => {
    context.arc(x, y, Math.max(1.1, r * 0.26), 0, 7);
    context.fill();
  },
  X: (context, x, y, r) => {
    context.arc(x, y + r * 0.3, r * 0.7, Math.PI * 1.05, Math.PI * 1.85);
    context.stroke();
    context.beginPath();
    line(context, [x + r * 0.85, y - r * 0.6], [x + r * 0.68, y + r * 0.12], [x - r * 0.02, y - r * 0.12]);
    context.stroke();
  },
  C: (context, x, y, r) => {
    line(context, [x - r * 0.7, y], [x + r * 0.7, y]);
    context.stroke();
  },
  P: (context, x, y, r) => {
    for (const shift of [-0.55, 0, 0.55]) line(context, [x - r * 0.7, y + r * shift], [x + r * 0.7, y + r * shift]);
    context.stroke();
  },
};

/** Draw the mark of a lane about a point. */
export function drawMark(context, palette, lane, x, y, scale = 1) {
  context.save();
  context.translate(x, y);
  context.scale(scale, scale);
  context.fillStyle = palette.lane(lane);
  context.fill(LANE_MARKS[lane % MARKS.length]);
  context.restore();
}

/** Draw shares of statuses side by side in a box; what failed is never too thin to be seen. */
export function drawShares(context, palette, counts, box, isUpright = false) {
  const total = Object.values(counts).reduce((sum, value) => sum + value, 0);
  if (!total) return;
  const room = isUpright ? box.height : box.width;
  const least = counts.F ? Math.min(3, room / 2) : 0;
  const forOthers = room - (counts.F ? Math.max(least - (room * counts.F) / total, 0) : 0);
  let at = 0;
  for (const { letter } of STATUSES) {
    if (!counts[letter]) continue;
    const share = (counts[letter] / total) * (letter === "F" ? room : forOthers);
    const size = letter === "F" ? Math.max(least, share) : share;
    context.fillStyle = palette.fill(context, letter);
    if (isUpright) context.fillRect(box.x, box.y + at, box.width, size);
    else context.fillRect(box.x + at, box.y, size, box.height);
    at += size;
  }
}
