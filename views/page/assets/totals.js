// What a part of the run comes to: the numbers that everything on the page shows.

class Numbers {
  constructor(table) {
    this.table = table;
    this.leaves = new Float64Array(table.leaves.length + 1);
    this.inHandlers = new Float64Array(table.leaves.length + 1);
    this.transitions = new Float64Array(table.transitions.length);
    this.calls = new Float64Array(table.receivers.length);
    this.times = new Float64Array(table.receivers.length);
  }

  // `sign` times the sums of a walker.
  add(walker, sign) {
    const { columns, sums } = walker;
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

  get made() {
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

  triggered(name) {
    return this.table.transitions.reduce(
      (sum, t, id) => sum + (name.test(t.trigger) ? this.transitions[id] : 0),
      0,
    );
  }
}

function between(records, from, to) {
  const numbers = new Numbers(records.table);
  if (!records.length) return numbers;
  numbers.add(records.at(to), 1);
  return numbers.add(records.at(from), -1);
}

// The recorder's own totals: exact also where its ring has overwritten the first records. Its time
// of a transition is that of the leaf which it leaves.
function wholeRun(records, totals, now) {
  const numbers = new Numbers(records.table);
  const { transitions, receivers } = records.table;
  const end = records.at(now);
  if (records.length) numbers.add(end, 1);
  if (!totals.transitions.length) return numbers;
  numbers.leaves.fill(0);
  if (end.leaf >= 0) numbers.leaves[end.leaf] = now - end.since;
  for (const [id, made, ns] of totals.transitions) {
    if (!transitions[id]) continue;
    numbers.transitions[id] = made;
    numbers.leaves[transitions[id].from] += ns;
  }
  for (const [id, calls, ns] of totals.receivers)
    if (receivers[id]) [numbers.calls[id], numbers.times[id]] = [calls, ns];
  return numbers;
}

// From the beginning to an instant: what came after it, taken off the whole.
function upTo(records, totals, time, now) {
  const numbers = wholeRun(records, totals, now);
  if (records.length) numbers.add(records.at(now), -1).add(records.at(time), 1);
  return numbers;
}
