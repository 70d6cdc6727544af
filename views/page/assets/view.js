// What is looked at: the live end, a window of the run, or an instant in it.

const SPANS = [1e9, 5e9, 30e9, Infinity];
const SPEEDS = [
  ["slowly, 1/100", 0.01],
  ["1/10", 0.1],
  ["as it ran", 1],
  ["10 times", 10],
  ["100 times", 100],
];
const LEAST_WINDOW = 2e3;

class View {
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
    this.end = Math.max(end, first + LEAST_WINDOW);
    if (this.follow) this.toEnd();
  }

  toEnd() {
    this.to = this.end;
    this.from = Math.max(this.first, this.end - this.span);
  }

  live(span = this.span) {
    Object.assign(this, { span, follow: true, instant: null, playing: false });
    this.toEnd();
  }

  // Show a window; it is kept within what is recorded, and wide enough to be seen.
  show(from, to) {
    const width = Math.min(Math.max(to - from, LEAST_WINDOW), this.end - this.first);
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

  // Stand still at an instant, and bring it into sight.
  stand(time) {
    const at = Math.min(Math.max(time, this.first), this.end);
    const { from, to } = this;
    this.follow = false;
    this.instant = at;
    if (at < from || at > to) this.show(at - (to - from) / 2, at + (to - from) / 2);
  }

  leaveInstant() {
    this.instant = null;
    this.playing = false;
  }

  // Replay: `passed` nanoseconds have gone by at the desk.
  advance(passed) {
    this.stand((this.instant ?? this.from) + passed * this.speed);
    if (this.instant >= this.end) this.playing = false;
  }
}

// The numbers for what is looked at: `chart` for counts and bills, `shares` for what is warm.
function numbersOf(view, records, totals) {
  const { from, to, instant: at, end, first } = view;
  const [start, stop] = at !== null ? [Math.max(first, at - SECOND), at] : [from, to];
  const shares = between(records, start, stop);
  const warm = view.follow ? between(records, Math.max(first, end - SECOND), end) : shares;
  return { shares, warm, start, stop, ...scopeOf(view, records, totals, shares) };
}

function scopeOf(view, records, totals, shares) {
  const { from, to, instant: at, end } = view;
  if (at !== null)
    return {
      chart: upTo(records, totals, at, end),
      since: 0,
      until: at,
      said: `up to ${instant(at, 1e5)}`,
    };
  if (view.follow)
    return { chart: wholeRun(records, totals, end), since: 0, until: end, said: "the whole run" };
  return { chart: shares, since: from, until: to, said: range(from, to) };
}
