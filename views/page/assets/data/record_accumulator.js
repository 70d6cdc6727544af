// Sums over records: time in each leaf and in handlers, counts of transitions and of calls.

const KIND = {
  TRANSITION: 1,
  BEGIN_RECEIVER: 2,
  END_RECEIVER: 3,
  CANCEL: 4,
  ERROR: 5,
  SCALAR: 6,
  POSITION: 7,
  GAP: 8,
};

// The layout of a vector of sums: nanoseconds in each leaf (the last: not recorded), nanoseconds of
// handlers in each leaf, count of each transition, calls and nanoseconds of each receiver.
class SumColumns {
  constructor(table) {
    this.leaves = 0;
    this.inHandlers = table.leaves.length + 1;
    this.transitions = 2 * this.inHandlers;
    this.calls = this.transitions + table.transitions.length;
    this.times = this.calls + table.receivers.length;
    this.width = this.times + table.receivers.length;
    this.gap = table.leaves.length;
  }
}

// Reads records one by one and adds them to its sums. `state` is: leaf, its start, receiver, its
// start, epoch, batch, transition; -1 where unknown.
class RecordAccumulator {
  constructor(columns, table) {
    this.columns = columns;
    this.destination = table.transitions.map((transition) => transition.leaf);
    this.begins = table.transitions.map(
      (t) => ({ begin_epoch: 1, begin_batch: 2 })[t.trigger] ?? 0,
    );
    this.sums = new Float64Array(columns.width);
    this.state = new Float64Array([-1, 0, -1, 0, -1, -1, -1]);
  }

  get leaf() {
    return this.state[0];
  }
  get since() {
    return this.state[1];
  }
  get receiver() {
    return this.state[2];
  }
  get receiverSince() {
    return this.state[3];
  }
  get epoch() {
    return this.state[4];
  }
  get batch() {
    return this.state[5];
  }
  get transition() {
    return this.state[6];
  }

  // Add the time from the last record until `time`.
  addOpenTime(time) {
    const { state, sums, columns } = this;
    const leaf = state[0] < 0 ? columns.gap : state[0];
    if (time > state[1]) sums[columns.leaves + leaf] += time - state[1];
    if (state[2] >= 0 && time > state[3]) {
      sums[columns.times + state[2]] += time - state[3];
      sums[columns.inHandlers + leaf] += time - state[3];
    }
  }

  add(time, kind, id, argument) {
    if (kind === KIND.TRANSITION) this.onTransition(time, id, argument);
    else if (kind === KIND.BEGIN_RECEIVER) {
      this.state[2] = id;
      this.state[3] = time;
    } else if (kind === KIND.END_RECEIVER) this.onReceiverEnd(time, id);
    else if (kind === KIND.POSITION) this.onPosition(id);
    else if (kind === KIND.GAP) this.onGap(time);
  }

  // A position record has only the lower 16 bits of the epoch.
  onPosition(low) {
    const known = Math.max(0, this.state[4]);
    this.state[4] = known - (known & 0xffff) + low;
  }

  // Records were overwritten before they were read: the leaf is unknown until the next transition.
  onGap(time) {
    this.addOpenTime(time);
    this.state[0] = this.state[2] = -1;
    this.state[1] = time;
  }

  onTransition(time, id, argument) {
    const { state, sums, columns } = this;
    sums[columns.leaves + (state[0] < 0 ? columns.gap : state[0])] += time - state[1];
    sums[columns.transitions + id] += 1;
    state[0] = this.destination[id];
    state[1] = time;
    state[6] = id;
    if (this.begins[id] === 1) {
      state[4] = argument;
      state[5] = -1;
    } else if (this.begins[id] === 2) state[5] = argument;
  }

  onReceiverEnd(time, id) {
    const { state, sums, columns } = this;
    if (state[2] !== id) return;
    const leaf = state[0] < 0 ? columns.gap : state[0];
    sums[columns.calls + id] += 1;
    sums[columns.times + id] += time - state[3];
    sums[columns.inHandlers + leaf] += time - state[3];
    state[2] = -1;
  }

  restore(sums, state) {
    this.sums.set(sums);
    this.state.set(state);
  }
}
