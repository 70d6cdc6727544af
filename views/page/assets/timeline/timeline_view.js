// What the page shows: the live end, a window of the run, or a selected time (`instant`).

const SPANS = [1e9, 5e9, 30e9, Infinity];
const SPEEDS = [
  ["slowly, 1/100", 0.01],
  ["1/10", 0.1],
  ["as it ran", 1],
  ["10 times", 10],
  ["100 times", 100],
];
const MIN_WINDOW = 2e3;

class TimelineView {
  constructor() {
    this.span = Infinity;
    this.follow = true;
    this.from = 0;
    this.to = 0;
    this.instant = null;
    this.playing = false;
    this.speed = 1;
    this.first = 0;
    this.end = 1;
  }

  // The recorded part of the run has grown.
  extend(first, end) {
    this.first = first;
    this.end = Math.max(end, first + MIN_WINDOW);
    if (this.follow) this.toEnd();
  }

  toEnd() {
    this.to = this.end;
    this.from = Math.max(this.first, this.end - this.span);
  }

  followLive(span = this.span) {
    Object.assign(this, { span, follow: true, instant: null, playing: false });
    this.toEnd();
  }

  // Show a window, kept within the recorded part and at least MIN_WINDOW wide.
  show(from, to) {
    const width = Math.min(Math.max(to - from, MIN_WINDOW), this.end - this.first);
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(this.first, middle - width / 2), this.end - width);
    this.to = this.from + width;
    this.follow = false;
  }

  zoom(factor, around = this.instant ?? (this.from + this.to) / 2) {
    const at = Math.min(Math.max(around, this.from), this.to);
    this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    const room = by < 0 ? Math.max(by, this.first - this.from) : Math.min(by, this.end - this.to);
    this.show(this.from + room, this.to + room);
  }

  // Select a time, and move the window so that it is visible.
  select(time) {
    const at = Math.min(Math.max(time, this.first), this.end);
    const { from, to } = this;
    this.follow = false;
    this.instant = at;
    if (at < from || at > to) this.show(at - (to - from) / 2, at + (to - from) / 2);
  }

  clearInstant() {
    this.instant = null;
    this.playing = false;
  }

  // Replay: `elapsed` nanoseconds of real time have passed.
  advance(elapsed) {
    this.select((this.instant ?? this.from) + elapsed * this.speed);
    if (this.instant >= this.end) this.playing = false;
  }
}

// Totals for the page: `main` for counts and costs, of the part that `label` names, from `since` to
// `until`; `shares` for the time shares; `recent` for the heat of the boxes.
function totalsOfView(view, records, recorded) {
  const { from, to, instant: at, end, first } = view;
  const [start, stop] = at !== null ? [Math.max(first, at - SECOND), at] : [from, to];
  const shares = totalsBetween(records, start, stop);
  const recent = view.follow ? totalsBetween(records, Math.max(first, end - SECOND), end) : shares;
  return { shares, recent, start, stop, ...mainTotals(view, records, recorded, shares) };
}

function mainTotals(view, records, recorded, shares) {
  const { from, to, instant: at, end } = view;
  if (at !== null)
    return {
      main: totalsUpTo(records, recorded, at, end),
      since: 0,
      until: at,
      label: `up to ${formatTime(at, 1e5)}`,
    };
  if (view.follow)
    return {
      main: totalsOfRun(records, recorded, end),
      since: 0,
      until: end,
      label: "the whole run",
    };
  return { main: shares, since: from, until: to, label: formatRange(from, to) };
}
