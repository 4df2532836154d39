// The statuses of tasks: their letters, names, signs, and in which order they are told.

/** In the order in which they are drawn in bars: what is done first, what waits last. */
export const STATUSES = [
  { letter: "S", name: "succeeded", sign: "✓" },
  { letter: "P", name: "satisfied", sign: "≡" },
  { letter: "F", name: "failed", sign: "✕" },
  { letter: "X", name: "skipped", sign: "↷" },
  { letter: "C", name: "cancelled", sign: "–" },
  { letter: "R", name: "running", sign: "▶" },
  { letter: "q", name: "queued", sign: "◔" },
  { letter: "r", name: "ready", sign: "○" },
  { letter: "w", name: "waiting", sign: "·" },
];

export const BY_LETTER = Object.fromEntries(STATUSES.map((status) => [status.letter, status]));
export const BY_NAME = Object.fromEntries(STATUSES.map((status) => [status.name, status]));

/** What wants to be seen first: failures, then what runs. */
export const URGENCY = Object.fromEntries([..."FRrqXCwSP"].map((letter, index) => [letter, index]));

export const isFinal = (letter) => "SFXCP".includes(letter);

export const RUN_SIGNS = { pending: "○", running: "▶", paused: "❙❙", succeeded: "✓", failed: "✕", cancelled: "–" };

export const isRunFinal = (status) => ["succeeded", "failed", "cancelled"].includes(status);

export const OUTCOMES = {
  q: "queued", r: "running", s: "succeeded", f: "failed", l: "lost", g: "given back", c: "cancelled",
};

/** Shapes of the lanes, about (0, 0), at most 11 wide: the same as in drawings of plans. */
export const MARKS = [
  "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
  "M-4 -4h8v8h-8z",
  "M0 -5.4L5.4 0L0 5.4L-5.4 0z",
  "M0 -5L5 4H-5z",
  "M0 5L5 -4H-5z",
  "M-1.6 -5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
  "M-2.5 -4.4h5L5 0L2.5 4.4h-5L-5 0z",
  "M-5 -2.5h10v5h-10z",
];
