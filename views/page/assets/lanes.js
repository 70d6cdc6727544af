// The timeline: a lane for each depth of scopes, one of leaf phases, of handlers, of cancels, and
// curves above them. Few records are drawn one by one, many as the share of each pixel.

const TALL = window.innerHeight > 1150 ? 1.5 : 1;
const LANE = 16 * TALL;
const GAP = 4 * TALL;
const LEFT = 86;
const RIGHT = 10;
const CURVE = 58 * TALL;
const AXIS = 18;
const MOST_SCOPE_LANES = 4;
const DENSE = 2;
const MANY = 100_000;

class Lanes {
  constructor(app, element) {
    this.app = app;
    this.canvas = new Canvas(element, 1);
    this.arrange();
  }

  // Lanes for scopes from the second depth on: epochs, train and validate, batches.
  arrange() {
    const { table } = this.app.records;
    const depth = Math.max(0, ...table.leaves.map((leaf) => leaf.path.split(".").length - 1));
    this.scopes = [];
    for (let d = 2; d <= depth && this.scopes.length < MOST_SCOPE_LANES; d++)
      this.scopes.push(scopeLane(table, d));
    this.scopes = this.scopes.filter(
      (lane) => lane.names.some((name) => ["epoch", "batch"].includes(name)) || lane.depth < 4,
    );
    this.rows = [...this.scopes.map((lane) => lane.title), "states", "handlers", "cancels"];
  }

  get curves() {
    return curvesOf(this.app.records);
  }

  layout() {
    const curves = this.curves.length ? CURVE + GAP : 0;
    const lanes = this.rows.length * (LANE + GAP);
    this.top = curves;
    this.height = curves + lanes + AXIS;
    this.canvas.resize(this.height);
  }

  y(row) {
    return this.top + row * (LANE + GAP);
  }

  // A strip of very many records is drawn at most twice a second while it grows.
  isFresh(ink) {
    const { view, records } = this.app;
    const key = [
      view.follow,
      view.span,
      this.canvas.width,
      window.innerWidth,
      view.follow || view.from,
      view.follow || view.to,
      view.instant,
    ].join();
    const same = key === this.key && ink === this.ink;
    Object.assign(this, { key, ink });
    const few = records.upTo(view.to) - records.upTo(view.from) < MANY;
    if (!view.follow || !same || few || performance.now() - this.at > 500) {
      this.at = performance.now();
      return false;
    }
    return true;
  }

  draw(ink) {
    if (this.isFresh(ink)) return;
    this.layout();
    const { view, records } = this.app;
    const context = this.canvas.clear();
    this.left = this.canvas.width < 600 ? 62 : LEFT;
    this.scale = new Scale(view.from, view.to, this.left, this.canvas.width - RIGHT);
    this.titles(context, ink);
    const first = records.upTo(view.from),
      last = records.upTo(view.to);
    context.save();
    context.beginPath();
    context.rect(this.left, 0, this.canvas.width - RIGHT - this.left, this.height);
    context.clip();
    this.scopes.forEach((lane, row) => drawScopes(this, context, ink, lane, row));
    if (last - first > DENSE * this.canvas.width) drawDense(this, context, ink, this.scopes.length);
    else drawSparse(this, context, ink, first, last, this.scopes.length);
    this.cancels(context, ink);
    context.restore();
    drawCurves(context, this, ink);
    this.axis(context, ink);
    this.cursor(context, ink);
  }

  titles(context, ink) {
    context.fillStyle = ink.soft;
    this.rows.forEach((title, row) => context.fillText(title, 0, this.y(row) + LANE / 2));
    context.fillStyle = ink.well;
    this.rows.forEach((_, row) =>
      context.fillRect(this.left, this.y(row), this.canvas.width - RIGHT - this.left, LANE),
    );
  }

  axis(context, ink) {
    const { step, found } = ticks(this.scale, 120);
    const y = this.height - AXIS / 2 + 2;
    context.fillStyle = ink.soft;
    context.strokeStyle = ink.line;
    context.beginPath();
    for (const time of found) {
      const x = Math.round(this.scale.x(time)) + 0.5;
      context.moveTo(x, this.height - AXIS - 2);
      context.lineTo(x, this.height - AXIS + 4);
      const text = instant(time, step);
      const width = context.measureText(text).width;
      context.fillText(
        text,
        Math.min(this.canvas.width - width, Math.max(this.left, x - width / 2)),
        y,
      );
    }
    context.stroke();
  }

  cursor(context, ink) {
    const { view } = this.app;
    if (view.instant === null) return;
    const x = this.scale.x(view.instant);
    context.fillStyle = ink.warn;
    context.fillRect(x - 1, 0, 2, this.height - AXIS + 2);
    context.beginPath();
    context.moveTo(x - 6, 0);
    context.lineTo(x + 6, 0);
    context.lineTo(x, 8);
    context.fill();
  }

  // Each as a mark with a line through the lanes; where they are many, how many in each pixel.
  cancels(context, ink) {
    const { records, view } = this.app;
    for (const [series, colour, draw] of [
      [records.events.cancels, ink.warn, diamond],
      [records.events.errors, ink.alarm, cross],
    ]) {
      context.fillStyle = context.strokeStyle = colour;
      const first = series.upTo(view.from - 1),
        last = series.upTo(view.to);
      const places = series.times.subarray(first, last);
      if (places.length > this.canvas.width / 16) this.crowd(context, places);
      else for (const time of places) this.mark(context, this.scale.x(time), draw);
    }
  }

  mark(context, x, draw) {
    const y = this.y(this.rows.length - 1) + LANE / 2;
    context.globalAlpha = 0.6;
    context.fillRect(x - 0.5, this.top, 1, y - this.top);
    context.globalAlpha = 1;
    draw(context, x, y);
  }

  crowd(context, times) {
    const bins = new Uint32Array(Math.ceil(this.canvas.width / 3) + 1);
    for (const time of times) bins[Math.floor(this.scale.x(time) / 3)]++;
    const most = Math.max(...bins),
      floor = this.y(this.rows.length - 1) + LANE;
    bins.forEach((n, i) => {
      if (n)
        context.fillRect(
          3 * i,
          floor - LANE * (0.25 + (0.75 * n) / most),
          2.4,
          LANE * (0.25 + (0.75 * n) / most),
        );
    });
  }
}

function diamond(context, x, y) {
  context.beginPath();
  for (const [dx, dy] of [
    [0, -7],
    [6, 0],
    [0, 7],
    [-6, 0],
  ])
    context.lineTo(x + dx, y + dy);
  context.fill();
}

function cross(context, x, y) {
  context.lineWidth = 3;
  context.beginPath();
  for (const d of [-1, 1]) {
    context.moveTo(x - 5, y - 5 * d);
    context.lineTo(x + 5, y + 5 * d);
  }
  context.stroke();
  context.lineWidth = 1;
}

// For each leaf the scope of this depth that is open there, and which transitions open a new one.
function scopeLane(table, depth) {
  const scopeIn = (path) => path.split(".").slice(0, depth).join(".");
  const isOpen = (path) => path.split(".").length > depth;
  const paths = [
    ...new Set(table.leaves.filter((leaf) => isOpen(leaf.path)).map((leaf) => scopeIn(leaf.path))),
  ];
  const of = Int16Array.from([
    ...table.leaves.map((leaf) => (isOpen(leaf.path) ? paths.indexOf(scopeIn(leaf.path)) : -1)),
    -1,
  ]);
  const opens = table.transitions.map(
    (t) =>
      t.leaf < of.length &&
      of[t.leaf] >= 0 &&
      !(isOpen(t.source) && scopeIn(t.source) === scopeIn(t.path)),
  );
  const names = [...new Set(paths.map((path) => path.split(".").pop()))];
  return {
    depth,
    paths,
    of,
    opens,
    names,
    title: names.length === 1 ? plural(names[0]) : "phases",
  };
}

function plural(name) {
  return name + (/(s|x|[^o]ch)$/.test(name) ? "es" : "s");
}
