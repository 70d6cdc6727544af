// Totals of a part of the run: the numbers that the page shows.

class Totals {
  constructor(table) {
    this.table = table;
    this.leaves = new Float64Array(table.leaves.length + 1);
    this.inHandlers = new Float64Array(table.leaves.length + 1);
    this.transitions = new Float64Array(table.transitions.length);
    this.calls = new Float64Array(table.receivers.length);
    this.times = new Float64Array(table.receivers.length);
  }

  // Add `sign` times the sums of an accumulator.
  add(accumulator, sign) {
    const { columns, sums } = accumulator;
    for (const name of ["leaves", "inHandlers", "transitions", "calls", "times"]) {
      const at = columns[name],
        to = this[name];
      for (let i = 0; i < to.length; i++) to[i] += sign * sums[at + i];
    }
    return this;
  }

  get work() {
    return this.table.leaves.reduce((sum, leaf, i) => sum + (leaf.resting ? 0 : this.leaves[i]), 0);
  }

  get transitionCount() {
    return this.transitions.reduce((sum, n) => sum + n, 0);
  }

  // How often each leaf was entered.
  get entries() {
    const entries = new Float64Array(this.leaves.length);
    this.table.transitions.forEach((transition, id) => {
      entries[transition.leaf] += this.transitions[id];
    });
    return entries;
  }

  // How often each row of the chart was taken.
  get rows() {
    const rows = new Float64Array(this.table.rows);
    this.table.transitions.forEach((transition, id) => {
      if (transition.row >= 0) rows[transition.row] += this.transitions[id];
    });
    return rows;
  }

  // How many updates were made: a step that accumulation cancels is none.
  get updates() {
    return this.table.transitions.reduce((sum, t, id) => {
      const isUpdate = t.trigger === "after_step" && !t.source.endsWith(".cancelled");
      return sum + (isUpdate ? this.transitions[id] : 0);
    }, 0);
  }

  // How often triggers that match `name` were fired.
  triggered(name) {
    return this.table.transitions.reduce(
      (sum, t, id) => sum + (name.test(t.trigger) ? this.transitions[id] : 0),
      0,
    );
  }
}

function totalsBetween(records, from, to) {
  const totals = new Totals(records.table);
  if (!records.length) return totals;
  totals.add(records.stateAt(to), 1);
  return totals.add(records.stateAt(from), -1);
}

// The recorder's own totals, which are exact even if its ring has overwritten the first records.
// The time of a transition in them is the time in the leaf before it.
function totalsOfRun(records, recorded, now) {
  const totals = new Totals(records.table);
  const { transitions, receivers } = records.table;
  const end = records.stateAt(now);
  if (records.length) totals.add(end, 1);
  if (!recorded.transitions.length) return totals;
  totals.leaves.fill(0);
  if (end.leaf >= 0) totals.leaves[end.leaf] = now - end.since;
  for (const [id, taken, ns] of recorded.transitions) {
    if (!transitions[id]) continue;
    totals.transitions[id] = taken;
    totals.leaves[transitions[id].from] += ns;
  }
  for (const [id, calls, ns] of recorded.receivers)
    if (receivers[id]) [totals.calls[id], totals.times[id]] = [calls, ns];
  if (end.receiver >= 0) totals.times[end.receiver] += Math.max(0, now - end.receiverSince);
  return totals;
}

// The cancels that the recorder has counted.
function recordedCancels({ transitions }, recorded) {
  return recorded.transitions
    .filter(([id]) => transitions[id]?.trigger.startsWith("after_cancel_"))
    .reduce((sum, [, taken]) => sum + taken, 0);
}

// Totals from the beginning to a time: those of the whole run, less what came after it.
function totalsUpTo(records, recorded, time, now) {
  const totals = totalsOfRun(records, recorded, now);
  if (records.length) totals.add(records.stateAt(now), -1).add(records.stateAt(time), 1);
  return totals;
}
