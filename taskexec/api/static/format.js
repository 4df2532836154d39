// How numbers, times and durations are written.

const NUMBER = new Intl.NumberFormat("en-US");
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const count = (value) => NUMBER.format(value);

export const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Seconds as people say them: `0.35 s`, `12 s`, `4 min 10 s`, `2 h 5 min`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 59.95) return `${Number(seconds.toPrecision(seconds < 0.0995 ? 2 : 3))} s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const parts = [[hours, "h"], [minutes, "min"], [hours ? 0 : whole % 60, "s"]];
  return parts.filter(([amount]) => amount).map(([amount, unit]) => `${count(amount)} ${unit}`).join(" ") || "0 s";
}

/** Seconds in figures that do not jump: `0:07`, `12:40`, `3:05:10`. */
export function stopwatch(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${hours ? two(Math.floor((whole % 3600) / 60)) : Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** An instant (ISO text or milliseconds) as time of day, with the day when it is not today. */
export function instant(value) {
  if (value === null || value === undefined) return "–";
  const at = new Date(value);
  if (Number.isNaN(at.getTime())) return "–";
  const clock = CLOCK.format(at);
  return at.toDateString() === new Date().toDateString() ? clock : `${DAY.format(at)}, ${clock}`;
}

/** Bytes: `0 B`, `812 B`, `4.1 KiB`, `1.2 GiB`. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit && amount < 100 ? amount.toFixed(1) : Math.round(amount)} ${units[unit]}`;
}

export const mib = (value) => bytes(value * 1024 * 1024);

/** A rate of tasks: `12.4/s`, `3.1/min`. */
export function rate(perSecond) {
  if (!perSecond) return "–";
  if (perSecond >= 0.995) return `${count(Number(perSecond.toPrecision(3)))}/s`;
  return `${Number((perSecond * 60).toPrecision(2))}/min`;
}

export const plain = (value) => count(Number(value.toPrecision(3)));

/** Text of at most `most` characters; a longer one loses its middle, its end stays longer: ids differ there. */
export function shorten(text, most) {
  if (text.length <= most) return text;
  if (most < 3) return most < 1 ? "" : "…";
  const head = Math.max(1, Math.floor(most * 0.35));
  return `${text.slice(0, head)}…${text.slice(text.length - (most - head - 1))}`;
}
