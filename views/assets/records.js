// The records of one run, and sums of them at every 256th, so that what happened between any two
// instants costs the same to tell whether they lie a second or a million records apart.

const BLOCK = 256;
const MOST_RECORDS = 4_194_304;
const RECORD_BYTES = 16;
const BORDER_DEPTH = 3;
const KIND = { TRANSITION: 1, BEGIN_RECEIVER: 2, END_RECEIVER: 3, CANCEL: 4, ERROR: 5, SCALAR: 6, POSITION: 7, GAP: 8 };

// Where in a vector of sums what is: nanoseconds of each leaf (the last: not recorded), of handlers
// in each leaf, transitions by id, calls and nanoseconds of each receiver.
class Columns {
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

// Goes through records one by one and sums up.
class Walker {
  constructor(columns, table) {
    this.columns = columns;
    this.destination = table.transitions.map((transition) => transition.leaf);
    this.begins = table.transitions.map((t) => ({ begin_epoch: 1, begin_batch: 2 })[t.trigger] ?? 0);
    this.sums = new Float64Array(columns.width);
    this.state = new Float64Array([-1, 0, -1, 0, -1, -1, -1]);
  }

  get leaf() { return this.state[0]; }
  get since() { return this.state[1]; }
  get receiver() { return this.state[2]; }
  get epoch() { return this.state[4]; }
  get batch() { return this.state[5]; }
  get transition() { return this.state[6]; }

  // What has gone by in the live leaf until `time`, too.
  settle(time) {
    const { state, sums, columns } = this;
    const leaf = state[0] < 0 ? columns.gap : state[0];
    if (time > state[1]) sums[columns.leaves + leaf] += time - state[1];
    if (state[2] >= 0 && time > state[3]) {
      sums[columns.times + state[2]] += time - state[3];
      sums[columns.inHandlers + leaf] += time - state[3];
    }
  }

  step(time, kind, id, argument) {
    if (kind === KIND.TRANSITION) this.enter(time, id, argument);
    else if (kind === KIND.BEGIN_RECEIVER) { this.state[2] = id; this.state[3] = time; }
    else if (kind === KIND.END_RECEIVER) this.leave(time, id);
    else if (kind === KIND.POSITION) this.place(id);
    else if (kind === KIND.GAP) this.lose(time);
  }

  // Positions carry the lower half of the epoch.
  place(low) {
    const known = Math.max(0, this.state[4]);
    this.state[4] = known - (known & 0xffff) + low;
  }

  // What was overwritten before it was read: until the next transition nothing is known.
  lose(time) {
    this.settle(time);
    this.state[0] = this.state[2] = -1;
    this.state[1] = time;
  }

  enter(time, id, argument) {
    const { state, sums, columns } = this;
    sums[columns.leaves + (state[0] < 0 ? columns.gap : state[0])] += time - state[1];
    sums[columns.transitions + id] += 1;
    state[0] = this.destination[id];
    state[1] = time;
    state[6] = id;
    if (this.begins[id] === 1) { state[4] = argument; state[5] = -1; }
    else if (this.begins[id] === 2) state[5] = argument;
  }

  leave(time, id) {
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

// Whether a transition opens or closes one of the outer scopes, an epoch, training, validation; a batch.
function isBorder({ source, path }) { return outer(source) !== outer(path) || outer(path).split(".").length < BORDER_DEPTH; }
function outer(path) { return path.split(".").slice(0, -1).slice(0, BORDER_DEPTH).join("."); }
function isOfBatch({ source, path }) { return inBatch(source) !== inBatch(path); }
function inBatch(path) { return path.split(".").length > BORDER_DEPTH + 1; }

class Records {
  constructor(table) {
    this.events = new Events();
    this.table = table;
    this.length = 0;
    this.dropped = 0;
    this.gaps = false;
    this.grow(16 * BLOCK);
    this.arrange(table);
  }

  // The table of names has grown: the sums get more columns.
  arrange(table) {
    this.table = table;
    this.columns = new Columns(table);
    this.border = table.transitions.map(isBorder);
    this.batch = table.transitions.map(isOfBatch);
    this.walker = new Walker(this.columns, table);
    this.reader = new Walker(this.columns, table);
    this.marks = [];
    for (let i = 0; i < this.length; i++) this.sum(i);
  }

  grow(size) {
    const larger = (Kind, old) => { const made = new Kind(size); if (old) made.set(old); return made; };
    this.times = larger(Float64Array, this.times);
    this.words = larger(Uint32Array, this.words);
    this.arguments = larger(Uint32Array, this.arguments);
  }

  get first() { return this.length ? this.times[0] : 0; }
  get last() { return this.length ? this.times[this.length - 1] : 0; }
  kind(i) { return this.words[i] >>> 28; }
  id(i) { return this.words[i] & 0xffff; }

  // Raw records: u64 nanoseconds, u32 kind << 28 | lap << 16 | id, u32 argument; all 0 where one is
  // torn. `base` (a BigInt) is the instant 0 of the page.
  append(bytes, base) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const low = Number(base & 0xffffffffn), high = Number(base >> 32n);
    for (let at = 0; at + RECORD_BYTES <= bytes.byteLength; at += RECORD_BYTES) {
      const time = (view.getUint32(at + 4, true) - high) * 4294967296 + (view.getUint32(at, true) - low);
      const word = view.getUint32(at + 8, true);
      if (word >>> 28) this.push(time, word, view.getUint32(at + 12, true));
    }
    if (this.length > MOST_RECORDS) this.dropOldest();
  }

  push(time, word, argument) {
    const i = this.length++;
    if (i === this.times.length) this.grow(2 * i);
    this.times[i] = time;
    this.words[i] = word;
    this.arguments[i] = argument;
    this.sum(i);
    const kind = word >>> 28, id = word & 0xffff;
    if (kind !== KIND.TRANSITION) this.events.add(time, kind, id, argument);
    else if (this.border[id]) this.events.borders.push(time, id + argument * 65536);
    else if (this.batch[id]) this.events.batches.push(time, id + argument * 65536);
  }

  sum(i) {
    const { walker } = this;
    if (i === 0) walker.state[1] = this.times[0];
    if (i % BLOCK === 0) this.marks.push([walker.sums.slice(), walker.state.slice()]);
    walker.step(this.times[i], this.words[i] >>> 28, this.words[i] & 0xffff, this.arguments[i]);
  }

  // The first half goes; the sums go on, so that windows in what is left are told as before.
  dropOldest() {
    const half = Math.floor(this.length / 2 / BLOCK) * BLOCK;
    for (const column of [this.times, this.words, this.arguments]) column.copyWithin(0, half, this.length);
    this.length -= half;
    this.dropped += half;
    this.marks.splice(0, half / BLOCK);
  }

  // Records were overwritten before they could be read.
  gap() {
    this.gaps = true;
    this.push(this.last, KIND.GAP << 28 >>> 0, 0);
  }

  // How many records have been made at `time`.
  upTo(time) {
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // The sums and the state of the loop at an instant; valid until the next call.
  at(time) {
    const { reader } = this;
    const end = this.upTo(time);
    const block = Math.min(Math.floor(Math.max(0, end - 1) / BLOCK), this.marks.length - 1);
    if (block < 0) return reader;
    reader.restore(...this.marks[block]);
    for (let i = block * BLOCK; i < end; i++) reader.step(this.times[i], this.words[i] >>> 28, this.words[i] & 0xffff, this.arguments[i]);
    if (end > 0) reader.settle(time);
    return reader;
  }
}
