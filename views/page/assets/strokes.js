// How the lanes are filled: record by record where these are few, by shares of pixels elsewhere.

// A lane of scopes: each stay in one is a box.
function drawScopes(lanes, context, ink, lane, row) {
  const { records, view } = lanes.app;
  const series = lane.depth <= BORDER_DEPTH ? records.events.borders : records.events.batches;
  const first = series.upTo(view.from),
    last = series.upTo(view.to);
  if (last - first > lanes.canvas.width)
    return eachPixelOf(lanes, (x, spent, _, all) =>
      shade(lanes, context, ink, lane, spent, all, x, row),
    );
  const run = new ScopeRun(lanes, context, ink, row, lane);
  const there = records.at(view.from);
  if (there.leaf >= 0) run.start(there.leaf, there.epoch, there.batch, view.from);
  for (let i = first; i < last; i++) {
    const id = series.values[i] % 65536;
    run.enter(
      records.table.transitions[id],
      id,
      Math.floor(series.values[i] / 65536),
      series.times[i],
    );
  }
  return run.close(endOf(lanes.app.view));
}

function endOf(view) {
  return Math.min(view.to, view.end);
}

function drawSparse(lanes, context, ink, first, last, row) {
  const { records, view } = lanes.app;
  const leaves = new LeafRun(lanes, context, ink, row);
  const there = records.at(view.from);
  let began = there.receiver >= 0 ? view.from : null;
  if (there.leaf >= 0) leaves.enter(there.leaf, there.since);
  for (let i = first; i < last; i++) {
    const kind = records.kind(i),
      id = records.id(i),
      time = records.times[i];
    if (kind === KIND.TRANSITION) leaves.enter(records.table.transitions[id].leaf, time);
    else if (kind === KIND.BEGIN_RECEIVER) began = time;
    else if (kind === KIND.END_RECEIVER && began !== null) {
      drawCall(lanes, context, ink, row + 1, records.table.receivers[id], began, time);
      began = null;
    }
  }
  leaves.close(endOf(view));
}

function drawCall(lanes, context, ink, row, receiver, from, to) {
  const x = lanes.scale.x(from),
    width = Math.max(1, lanes.scale.x(to) - x);
  context.fillStyle = ink.tones[HANDLER_TONE];
  context.fillRect(x, lanes.y(row), width, LANE);
  context.fillStyle = ink.card;
  textIn(context, receiver.name, x, lanes.y(row) + LANE / 2, width);
}

class ScopeRun {
  constructor(lanes, context, ink, row, lane) {
    Object.assign(this, { lanes, context, ink, row, lane, open: -1, from: 0, label: "" });
  }

  start(leaf, epoch, batch, time) {
    this.open = this.lane.of[leaf];
    this.from = time;
    this.label = this.named(this.open, this.name(this.open) === "batch" ? batch : epoch);
  }

  name(scope) {
    return scope < 0 ? "" : this.lane.paths[scope].split(".").pop();
  }

  named(scope, index) {
    const name = this.name(scope);
    return ["epoch", "batch"].includes(name) && index >= 0 && index < 4e9
      ? `${name} ${index + 1}`
      : name;
  }

  enter(transition, id, argument, time) {
    const scope = this.lane.of[transition.leaf];
    if (scope === this.open && !this.lane.opens[id]) return;
    this.close(time);
    this.open = scope;
    this.from = time;
    this.label = this.named(scope, argument);
  }

  close(time) {
    if (this.open < 0) return;
    const { lanes, context, ink } = this;
    const x = lanes.scale.x(this.from),
      full = lanes.scale.x(time) - x;
    const width = Math.max(0.7, full - (full > 3 ? 1 : 0)),
      y = lanes.y(this.row);
    context.fillStyle = scopeColour(ink, this.lane, this.open);
    context.fillRect(x, y, width, LANE);
    context.fillStyle = ink.card;
    const left = Math.max(x, lanes.left);
    textIn(context, this.label, left, y + LANE / 2, x + width - left);
    this.open = -1;
  }
}

function scopeColour(ink, lane, scope) {
  return lane.names.length > 1
    ? [ink.soft, ink.tones[6], ink.tones[8], ink.tones[4]][scope % 4]
    : ink.tones[9];
}

class LeafRun {
  constructor(lanes, context, ink, row) {
    Object.assign(this, { lanes, context, ink, row, leaf: -1, from: 0 });
  }

  enter(leaf, time) {
    this.close(time);
    this.leaf = leaf;
    this.from = time;
  }

  close(time) {
    const { lanes, context, ink } = this;
    const known = lanes.app.records.table.leaves[this.leaf];
    if (!known) return;
    const x = lanes.scale.x(this.from),
      width = lanes.scale.x(time) - x,
      y = lanes.y(this.row);
    context.fillStyle = ink.tones[known.tone];
    context.globalAlpha = known.resting ? 0.3 : 1;
    context.fillRect(x, y, Math.max(0.6, width), LANE);
    context.globalAlpha = 1;
    context.fillStyle = ink.card;
    const left = Math.max(x, lanes.left);
    textIn(context, known.name, left, y + LANE / 2, x + width - left);
  }
}

function drawDense(lanes, context, ink, row) {
  const { leaves } = lanes.app.records.table;
  eachPixelOf(lanes, (x, spent, inHandlers, all) => {
    stack(context, ink, leaves, spent, all, x, lanes.y(row), LANE);
    context.fillStyle = ink.tones[HANDLER_TONE];
    const high = LANE * Math.min(1, inHandlers / all);
    context.fillRect(x, lanes.y(row + 1) + LANE - high, 1, high);
  });
}

// A scope's share of a pixel, as how opaque it is.
function shade(lanes, context, ink, lane, spent, all, x, row) {
  const shares = new Float64Array(lane.paths.length);
  lane.of.forEach((scope, leaf) => {
    if (scope >= 0) shares[scope] += spent[leaf];
  });
  shares.forEach((share, scope) => {
    if (share <= 0) return;
    context.globalAlpha = Math.min(1, 0.15 + (0.85 * share) / all);
    context.fillStyle = scopeColour(ink, lane, scope);
    context.fillRect(x, lanes.y(row), 1, LANE);
    context.globalAlpha = 1;
  });
}

function eachPixelOf(lanes, draw) {
  eachPixel(lanes.app.records, lanes.scale, lanes.canvas.width - RIGHT, draw);
}

// Calls `draw` for each pixel with what each leaf, and the handlers, spent in it.
function eachPixel(records, scale, right, draw) {
  const width = records.table.leaves.length + 1;
  const spent = new Float64Array(width);
  let before = sums(records, scale.time(scale.left), width);
  for (let x = scale.left; x < right; x++) {
    const after = sums(records, scale.time(x + 1), width);
    let all = 0,
      handled = 0;
    for (let i = 0; i < width; i++) {
      spent[i] = after[i] - before[i];
      all += spent[i];
      handled += after[width + i] - before[width + i];
    }
    if (all > 0) draw(x, spent, handled, all);
    before = after;
  }
}

function sums(records, time, width) {
  return records.at(time).sums.slice(0, 2 * width);
}

function stack(context, ink, leaves, spent, all, x, y, height) {
  let at = y;
  for (let i = 0; i < leaves.length; i++) {
    if (!spent[i]) continue;
    const high = (height * spent[i]) / all;
    context.globalAlpha = leaves[i].resting ? 0.3 : 1;
    context.fillStyle = ink.tones[leaves[i].tone];
    context.fillRect(x, at, 1, high);
    at += high;
  }
  context.globalAlpha = 1;
}
