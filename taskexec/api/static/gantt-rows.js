// Which attempts stand beside each other in the Gantt: by worker or by lane, in tracks without overlap.

const MOST_TRACKS = 32;

/**
 * Return groups `{name, number, tracks: [[bar]], bars, isBand}` in their order. A bar is `{task, attempt, from, to}`:
 * by worker from when it began, by lane from when its task was ready. A group with too many tracks is a band: how
 * many waited and ran at each time.
 */
export function ganttGroups(model, by, nowMs) {
  const groups = new Map();
  for (let task = 0; task < model.size; task += 1) {
    const attempts = model.attempts[task];
    if (by === "lane") {
      const bars = laneBars(model, task, attempts, nowMs);
      if (bars.length) groupOf(groups, model.lane[task], model.lanes[model.lane[task]] || "no lane").bars.push(...bars);
      continue;
    }
    for (const attempt of attempts ?? []) {
      const begun = beginOf(attempt);
      if (begun === null || attempt.worker < 0) continue;
      const group = groupOf(groups, attempt.worker, model.workers[attempt.worker]);
      group.bars.push({ task, attempt, from: begun, to: Math.max(begun, attempt.finished ?? nowMs), ready: null });
    }
  }
  const ordered = [...groups.values()].sort((a, b) => (by === "lane" ? a.number - b.number : a.name < b.name ? -1 : 1));
  for (const group of ordered) arrange(group);
  return ordered;
}

/** When an attempt began to work: members of a batch are claimed together and start one after the other. */
export function beginOf(attempt) {
  if (!attempt || attempt.claimed === null) return null;
  return Math.max(attempt.claimed, attempt.started ?? attempt.claimed);
}

function groupOf(groups, number, name) {
  let group = groups.get(number);
  if (!group) groups.set(number, (group = { name, number, bars: [], tracks: [], isBand: false }));
  return group;
}

/** One bar for each attempt; the first begins when the task was ready, a further one when it was queued. */
function laneBars(model, task, attempts, nowMs) {
  const ready = model.ready[task];
  if (!attempts?.length) {
    const isWaiting = "wrq".includes(model.status[task]) && ready !== null;
    return isWaiting ? [{ task, attempt: null, from: ready, to: nowMs, ready }] : [];
  }
  return attempts.map((attempt, at) => {
    const begun = at === 0 && ready !== null ? Math.min(ready, attempt.queued ?? ready) : attempt.queued;
    const from = begun ?? attempt.claimed ?? attempt.finished ?? nowMs;
    return { task, attempt, from, to: Math.max(from, attempt.finished ?? nowMs), ready: at === 0 ? ready : null };
  });
}

function arrange(group) {
  group.bars.sort((a, b) => a.from - b.from || a.task - b.task);
  const ends = [];
  for (const bar of group.bars) {
    let at = ends.findIndex((end) => end <= bar.from + 0.001);
    if (at < 0) at = ends.length;
    if (at >= MOST_TRACKS) {
      group.isBand = true;
      group.tracks = [];
      return;
    }
    ends[at] = bar.to;
    (group.tracks[at] ??= []).push(bar);
    bar.track = at;
  }
}

/** How many of a group's bars wait, are queued and run at each of `steps` times of a span. */
export function bandOf(group, fromMs, toMs, steps) {
  const band = { waiting: new Float64Array(steps + 1), queued: new Float64Array(steps + 1), running: new Float64Array(steps + 1) };
  const scale = steps / Math.max(toMs - fromMs, 0.001);
  const add = (line, from, to) => {
    const first = Math.max(0, (from - fromMs) * scale);
    const last = Math.min(steps, (to - fromMs) * scale);
    if (last <= 0 || first >= steps || last < first) return;
    // A share of the steps at both ends, so that what is shorter than a step counts for what it took.
    spread(line, first, last);
  };
  for (const { attempt, from, to, ready } of group.bars) {
    const claimed = beginOf(attempt) ?? to;
    const queued = attempt?.queued ?? claimed;
    if (ready !== null) add(band.waiting, ready, attempt ? queued : to);
    if (attempt) add(band.queued, Math.max(from, queued), claimed);
    if (attempt && attempt.claimed !== null) add(band.running, claimed, to);
  }
  for (const line of Object.values(band)) for (let at = 1; at < steps; at += 1) line[at] += line[at - 1];
  return band;
}

/** Write into a line of differences (summed up later) that something lasts from `first` to `last`, in steps. */
function spread(line, first, last) {
  const [a, b] = [Math.floor(first), Math.min(Math.floor(last), line.length - 2)];
  if (a === b) {
    line[a] += last - first;
    line[a + 1] -= last - first;
    return;
  }
  const [head, tail] = [a + 1 - first, Math.min(last - b, 1)];
  line[a] += head;
  line[a + 1] += 1 - head;
  line[b] += tail - 1;
  line[b + 1] -= tail;
}
