// The timeline: a lane for each depth of scopes, then lanes for leaf phases, handlers and cancels,
// with curves above them. A few records are drawn one by one, many as shares of each pixel.

const LEFT = 86;
const RIGHT = 10;
const AXIS = 18;
const MOST_SCOPE_LANES = 4;
const DENSE_PER_PIXEL = 2;
const MANY_RECORDS = 100_000;

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
    return metricCurves(this.app.records);
  }

  layout() {
    const curves = this.curves.length ? parts.curve + parts.gap : 0;
    const lanes = this.rows.length * (parts.lane + parts.gap);
    this.top = curves;
    this.height = curves + lanes + AXIS;
    this.canvas.resize(this.height);
  }

  y(row) {
    return this.top + row * (parts.lane + parts.gap);
  }

  // A timeline of very many records is redrawn at most twice a second while it grows.
  canSkip(colours) {
    const { view, records } = this.app;
    const key = [
      view.follow,
      view.span,
      this.canvas.width,
      window.innerWidth,
      window.innerHeight,
      view.follow || view.from,
      view.follow || view.to,
      view.instant,
    ].join();
    const same = key === this.key && colours === this.colours;
    Object.assign(this, { key, colours });
    const few = records.countUpTo(view.to) - records.countUpTo(view.from) < MANY_RECORDS;
    if (!view.follow || !same || few || performance.now() - this.at > 500) {
      this.at = performance.now();
      return false;
    }
    return true;
  }

  draw(colours) {
    if (this.canSkip(colours)) return;
    this.layout();
    const { view, records } = this.app;
    const context = this.canvas.clear();
    this.left = this.canvas.width < 600 ? 62 : LEFT;
    this.scale = new TimeScale(view.from, view.to, this.left, this.canvas.width - RIGHT);
    this.titles(context, colours);
    const first = records.countUpTo(view.from),
      last = records.countUpTo(view.to);
    context.save();
    context.beginPath();
    context.rect(this.left, 0, this.canvas.width - RIGHT - this.left, this.height);
    context.clip();
    this.scopes.forEach((lane, row) => drawScopes(this, context, colours, lane, row));
    if (last - first > DENSE_PER_PIXEL * this.canvas.width)
      drawDense(this, context, colours, this.scopes.length);
    else drawSparse(this, context, colours, first, last, this.scopes.length);
    this.cancels(context, colours);
    context.restore();
    drawCurves(context, this, colours);
    this.axis(context, colours);
    this.cursor(context, colours);
  }

  // The same picture as SVG.
  svg(colours) {
    const { canvas } = this;
    this.canvas = new SvgCanvas(canvas.width, canvas.height);
    try {
      this.key = null;
      this.draw(colours);
      return this.canvas.text(colours.card);
    } finally {
      this.canvas = canvas;
      this.key = null;
    }
  }

  titles(context, colours) {
    context.fillStyle = colours.soft;
    this.rows.forEach((title, row) => context.fillText(title, 0, this.y(row) + parts.lane / 2));
    context.fillStyle = colours.well;
    this.rows.forEach((_, row) =>
      context.fillRect(this.left, this.y(row), this.canvas.width - RIGHT - this.left, parts.lane),
    );
  }

  axis(context, colours) {
    const { step, times } = ticks(this.scale, 120);
    const y = this.height - AXIS / 2 + 2;
    context.fillStyle = colours.soft;
    context.strokeStyle = colours.line;
    context.beginPath();
    for (const time of times) {
      const x = Math.round(this.scale.x(time)) + 0.5;
      context.moveTo(x, this.height - AXIS - 2);
      context.lineTo(x, this.height - AXIS + 4);
      const text = formatTime(time, step);
      const width = context.measureText(text).width;
      context.fillText(
        text,
        Math.min(this.canvas.width - width, Math.max(this.left, x - width / 2)),
        y,
      );
    }
    context.stroke();
  }

  cursor(context, colours) {
    const { view } = this.app;
    if (view.instant === null) return;
    const x = this.scale.x(view.instant);
    context.fillStyle = colours.warn;
    context.fillRect(x - 1, 0, 2, this.height - AXIS + 2);
    context.beginPath();
    context.moveTo(x - 6, 0);
    context.lineTo(x + 6, 0);
    context.lineTo(x, 8);
    context.fill();
  }

  // A mark and a line through the lanes for each; if there are many, a histogram.
  cancels(context, colours) {
    const { records, view } = this.app;
    for (const [series, colour, draw] of [
      [records.events.cancels, colours.warn, diamond],
      [records.events.errors, colours.alarm, cross],
    ]) {
      context.fillStyle = context.strokeStyle = colour;
      const first = series.countUpTo(view.from - 1),
        last = series.countUpTo(view.to);
      const places = series.times.subarray(first, last);
      if (places.length > this.canvas.width / 16) this.histogram(context, places);
      else for (const time of places) this.eventMark(context, this.scale.x(time), draw);
    }
  }

  eventMark(context, x, draw) {
    const y = this.y(this.rows.length - 1) + parts.lane / 2;
    context.globalAlpha = 0.6;
    context.fillRect(x - 0.5, this.top, 1, y - this.top);
    context.globalAlpha = 1;
    draw(context, x, y);
  }

  histogram(context, times) {
    const bins = new Uint32Array(Math.ceil(this.canvas.width / 3) + 1);
    for (const time of times) bins[Math.floor(this.scale.x(time) / 3)]++;
    const most = Math.max(...bins),
      floor = this.y(this.rows.length - 1) + parts.lane;
    bins.forEach((n, i) => {
      if (n)
        context.fillRect(
          3 * i,
          floor - parts.lane * (0.25 + (0.75 * n) / most),
          2.4,
          parts.lane * (0.25 + (0.75 * n) / most),
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

// For each leaf the scope at this depth that contains it, and which transitions open a new scope.
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
