// How the lanes are filled: record by record where these are few, by shares of pixels elsewhere.

Lanes.prototype.sparse = function (context, ink, first, last) {
  const { records } = this.app;
  const runs = [...this.scopes.map((lane, row) => new Run(this, context, ink, row, lane)), null];
  const leaves = new LeafRun(this, context, ink, this.scopes.length);
  const calls = this.scopes.length + 1;
  let began = null;
  const before = first > 0 ? records.at(records.times[first]) : null;
  if (before && before.leaf >= 0) {
    for (const run of runs) run?.start(before.leaf, before.epoch, before.batch, before.since);
    leaves.enter(before.leaf, before.since);
  }
  for (let i = first; i < last; i++) {
    const kind = records.kind(i), id = records.id(i), time = records.times[i];
    if (kind === KIND.TRANSITION) {
      const transition = records.table.transitions[id];
      for (const run of runs) run?.enter(transition, id, records.arguments[i], time);
      leaves.enter(transition.leaf, time);
    } else if (kind === KIND.BEGIN_RECEIVER) began = time;
    else if (kind === KIND.END_RECEIVER && began !== null) {
      this.call(context, ink, calls, records.table.receivers[id], began, time);
      began = null;
    }
  }
  const end = this.app.view.follow ? this.app.view.end : Math.min(this.app.view.to, this.app.view.end);
  for (const run of runs) run?.close(end);
  leaves.close(end);
};

Lanes.prototype.call = function (context, ink, row, receiver, from, to) {
  const x = this.scale.x(from), width = Math.max(1, this.scale.x(to) - x);
  context.fillStyle = ink.tones[HANDLER_TONE];
  context.fillRect(x, this.y(row), width, LANE);
  context.fillStyle = ink.card;
  textIn(context, receiver.name, x, this.y(row) + LANE / 2, width);
};

// Boxes of one lane of scopes.
class Run {
  constructor(lanes, context, ink, row, lane) {
    Object.assign(this, { lanes, context, ink, row, lane, open: -1, from: 0, label: "" });
  }

  start(leaf, epoch, batch, time) {
    this.open = this.lane.of[leaf];
    this.from = Math.min(time, this.lanes.app.view.from);
    this.label = this.named(this.open, this.name(this.open) === "batch" ? batch : epoch);
  }

  name(scope) { return scope < 0 ? "" : this.lane.paths[scope].split(".").pop(); }

  named(scope, index) {
    const name = this.name(scope);
    return ["epoch", "batch"].includes(name) && index >= 0 && index < 4e9 ? `${name} ${index + 1}` : name;
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
    const x = this.lanes.scale.x(this.from), width = Math.max(1, this.lanes.scale.x(time) - x - (this.lanes.scale.x(time) - x > 3 ? 1 : 0));
    const y = this.lanes.y(this.row);
    this.context.fillStyle = scopeColour(this.ink, this.lane, this.open);
    this.context.fillRect(x, y, width, LANE);
    this.context.fillStyle = this.ink.card;
    const left = Math.max(x, this.lanes.left);
    textIn(this.context, this.label, left, y + LANE / 2, x + width - left);
    this.open = -1;
  }
}

function scopeColour(ink, lane, scope) {
  return lane.names.length > 1 ? [ink.soft, ink.tones[6], ink.tones[8], ink.tones[4]][scope % 4] : ink.tones[9];
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
    const known = this.lanes.app.records.table.leaves[this.leaf];
    if (!known) return;
    const x = this.lanes.scale.x(this.from), width = this.lanes.scale.x(time) - x;
    const y = this.lanes.y(this.row);
    this.context.fillStyle = this.ink.tones[known.tone];
    this.context.globalAlpha = known.resting ? 0.3 : 1;
    this.context.fillRect(x, y, Math.max(0.6, width), LANE);
    this.context.globalAlpha = 1;
    this.context.fillStyle = this.ink.card;
    const left = Math.max(x, this.lanes.left);
    textIn(this.context, known.name, left, y + LANE / 2, x + width - left);
  }
}

Lanes.prototype.dense = function (context, ink) {
  const { records } = this.app;
  const { leaves } = records.table;
  const row = this.scopes.length;
  eachPixel(records, this.scale, this.canvas.width - RIGHT, (x, spent, inHandlers, all) => {
    stack(context, ink, leaves, spent, all, x, this.y(row), LANE);
    this.scopes.forEach((lane, i) => this.shade(context, ink, lane, spent, all, x, i));
    context.fillStyle = ink.tones[HANDLER_TONE];
    const high = LANE * Math.min(1, inHandlers / all);
    context.fillRect(x, this.y(row + 1) + LANE - high, 1, high);
  });
};

// A scope's share of a pixel, as how opaque it is.
Lanes.prototype.shade = function (context, ink, lane, spent, all, x, row) {
  const shares = new Float64Array(lane.paths.length);
  lane.of.forEach((scope, leaf) => { if (scope >= 0) shares[scope] += spent[leaf]; });
  shares.forEach((share, scope) => {
    if (share <= 0) return;
    context.globalAlpha = Math.min(1, 0.15 + (0.85 * share) / all);
    context.fillStyle = scopeColour(ink, lane, scope);
    context.fillRect(x, this.y(row), 1, LANE);
    context.globalAlpha = 1;
  });
};

// Calls `draw` for each pixel with what each leaf, and the handlers, spent in it.
function eachPixel(records, scale, right, draw) {
  const width = records.table.leaves.length + 1;
  const spent = new Float64Array(width);
  let before = sums(records, scale.time(scale.left), width);
  for (let x = scale.left; x < right; x++) {
    const after = sums(records, scale.time(x + 1), width);
    let all = 0, handled = 0;
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
