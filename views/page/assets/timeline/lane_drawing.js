// Fill the lanes: record by record where there are few, otherwise by shares of each pixel.

// A lane of scopes: one box from the opening to the closing of each.
function drawScopes(lanes, context, colours, lane, row) {
  const { records, view } = lanes.app;
  const series =
    lane.depth <= OUTER_DEPTH ? records.events.scopeChanges : records.events.batchChanges;
  const first = series.countUpTo(view.from),
    last = series.countUpTo(view.to);
  if (last - first > lanes.canvas.width)
    return forEachLanePixel(lanes, (x, spent, _, all) =>
      drawScopeShare(lanes, context, colours, lane, spent, all, x, row),
    );
  const drawer = new ScopeLaneDrawer(lanes, context, colours, row, lane);
  const state = records.stateAt(view.from);
  if (state.leaf >= 0) drawer.start(state.leaf, state.epoch, state.batch, view.from);
  for (let i = first; i < last; i++) {
    const id = series.values[i] % 65536;
    drawer.enter(
      records.table.transitions[id],
      id,
      Math.floor(series.values[i] / 65536),
      series.times[i],
    );
  }
  return drawer.close(visibleEnd(lanes.app.view));
}

function visibleEnd(view) {
  return Math.min(view.to, view.end);
}

function drawSparse(lanes, context, colours, first, last, row) {
  const { records, view } = lanes.app;
  const leaves = new LeafLaneDrawer(lanes, context, colours, row);
  const state = records.stateAt(view.from);
  let began = state.receiver >= 0 ? view.from : null,
    called = state.receiver;
  if (state.leaf >= 0) leaves.enter(state.leaf, state.since);
  for (let i = first; i < last; i++) {
    const kind = records.kind(i),
      id = records.id(i),
      time = records.times[i];
    if (kind === KIND.TRANSITION) leaves.enter(records.table.transitions[id].leaf, time);
    else if (kind === KIND.BEGIN_RECEIVER) [began, called] = [time, id];
    else if (kind === KIND.END_RECEIVER && began !== null) {
      drawCall(lanes, context, colours, row + 1, records.table.receivers[id], began, time);
      began = null;
    }
  }
  leaves.close(visibleEnd(view));
  const receiver = records.table.receivers[called]; // it has not returned
  if (began !== null && receiver)
    drawCall(lanes, context, colours, row + 1, receiver, began, visibleEnd(view));
}

function drawCall(lanes, context, colours, row, receiver, from, to) {
  const x = lanes.scale.x(from),
    width = Math.max(1, lanes.scale.x(to) - x);
  context.fillStyle = colours.tones[HANDLER_TONE];
  context.fillRect(x, lanes.y(row), width, parts.lane);
  context.fillStyle = colours.card;
  drawTextInside(context, receiver.name, x, lanes.y(row) + parts.lane / 2, width);
}

class ScopeLaneDrawer {
  constructor(lanes, context, colours, row, lane) {
    Object.assign(this, { lanes, context, colours, row, lane, open: -1, from: 0, label: "" });
  }

  start(leaf, epoch, batch, time) {
    this.open = this.lane.of[leaf];
    this.from = time;
    this.label = this.title(this.open, this.name(this.open) === "batch" ? batch : epoch);
  }

  name(scope) {
    return scope < 0 ? "" : this.lane.paths[scope].split(".").pop();
  }

  title(scope, index) {
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
    this.label = this.title(scope, argument);
  }

  close(time) {
    if (this.open < 0) return;
    const { lanes, context, colours } = this;
    const x = lanes.scale.x(this.from),
      full = lanes.scale.x(time) - x;
    const width = Math.max(0.7, full - (full > 3 ? 1 : 0)),
      y = lanes.y(this.row);
    context.fillStyle = scopeColour(colours, this.lane, this.open);
    context.fillRect(x, y, width, parts.lane);
    context.fillStyle = colours.card;
    const left = Math.max(x, lanes.left);
    drawTextInside(context, this.label, left, y + parts.lane / 2, x + width - left);
    this.open = -1;
  }
}

function scopeColour(colours, lane, scope) {
  return lane.names.length > 1
    ? [colours.soft, colours.tones[6], colours.tones[8], colours.tones[4]][scope % 4]
    : colours.tones[9];
}

class LeafLaneDrawer {
  constructor(lanes, context, colours, row) {
    Object.assign(this, { lanes, context, colours, row, leaf: -1, from: 0 });
  }

  enter(leaf, time) {
    this.close(time);
    this.leaf = leaf;
    this.from = time;
  }

  close(time) {
    const { lanes, context, colours } = this;
    const known = lanes.app.records.table.leaves[this.leaf];
    if (!known) return;
    const x = lanes.scale.x(this.from),
      width = lanes.scale.x(time) - x,
      y = lanes.y(this.row);
    context.fillStyle = colours.tones[known.tone];
    context.globalAlpha = known.resting ? 0.3 : 1;
    context.fillRect(x, y, Math.max(0.6, width), parts.lane);
    context.globalAlpha = 1;
    context.fillStyle = colours.card;
    const left = Math.max(x, lanes.left);
    drawTextInside(context, known.name, left, y + parts.lane / 2, x + width - left);
  }
}

function drawDense(lanes, context, colours, row) {
  const { leaves } = lanes.app.records.table;
  forEachLanePixel(lanes, (x, spent, inHandlers, all) => {
    drawStack(context, colours, leaves, spent, all, x, lanes.y(row), parts.lane);
    context.fillStyle = colours.tones[HANDLER_TONE];
    const high = parts.lane * Math.min(1, inHandlers / all);
    context.fillRect(x, lanes.y(row + 1) + parts.lane - high, 1, high);
  });
}

// A scope's share of a pixel is drawn as opacity.
function drawScopeShare(lanes, context, colours, lane, spent, all, x, row) {
  const shares = new Float64Array(lane.paths.length);
  lane.of.forEach((scope, leaf) => {
    if (scope >= 0) shares[scope] += spent[leaf];
  });
  shares.forEach((share, scope) => {
    if (share <= 0) return;
    context.globalAlpha = Math.min(1, 0.15 + (0.85 * share) / all);
    context.fillStyle = scopeColour(colours, lane, scope);
    context.fillRect(x, lanes.y(row), 1, parts.lane);
    context.globalAlpha = 1;
  });
}

function forEachLanePixel(lanes, draw) {
  forEachPixel(lanes.app.records, lanes.scale, lanes.canvas.width - RIGHT, draw);
}

// Call `draw` for each pixel with the time that each leaf, and the handlers, spent in it.
function forEachPixel(records, scale, right, draw) {
  const width = records.table.leaves.length + 1;
  const spent = new Float64Array(width);
  let before = sumsAt(records, scale.time(scale.left), width);
  for (let x = scale.left; x < right; x++) {
    const after = sumsAt(records, scale.time(x + 1), width);
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

function sumsAt(records, time, width) {
  return records.stateAt(time).sums.slice(0, 2 * width);
}

// One column of pixels, divided by the shares of the leaves.
function drawStack(context, colours, leaves, spent, all, x, y, height) {
  let at = y;
  for (let i = 0; i < leaves.length; i++) {
    if (!spent[i]) continue;
    const high = (height * spent[i]) / all;
    context.globalAlpha = leaves[i].resting ? 0.3 : 1;
    context.fillStyle = colours.tones[leaves[i].tone];
    context.fillRect(x, at, 1, high);
    at += high;
  }
  context.globalAlpha = 1;
}
