// The records of one run, and sums of them at every 256th, so that what happened between any two
// instants costs the same to tell whether they lie a second or a million records apart.

const BLOCK = 256;
const MOST_RECORDS = 4_194_304;
const RECORD_BYTES = 16;
const BORDER_DEPTH = 3;

// Whether a transition opens or closes one of the outer scopes: an epoch, training, validation; or
// a batch.
function isBorder({ source, path }) {
  return outer(source) !== outer(path) || outer(path).split(".").length < BORDER_DEPTH;
}
function outer(path) {
  return path.split(".").slice(0, -1).slice(0, BORDER_DEPTH).join(".");
}
function isOfBatch({ source, path }) {
  return inBatch(source) !== inBatch(path);
}
function inBatch(path) {
  return path.split(".").length > BORDER_DEPTH + 1;
}

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
    const larger = (Kind, old) => {
      const made = new Kind(size);
      if (old) made.set(old);
      return made;
    };
    this.times = larger(Float64Array, this.times);
    this.words = larger(Uint32Array, this.words);
    this.arguments = larger(Uint32Array, this.arguments);
  }

  get first() {
    return this.length ? this.times[0] : 0;
  }
  get last() {
    return this.length ? this.times[this.length - 1] : 0;
  }
  kind(i) {
    return this.words[i] >>> 28;
  }
  id(i) {
    return this.words[i] & 0xffff;
  }

  // Raw records: u64 nanoseconds, u32 kind << 28 | lap << 16 | id, u32 argument; all 0 where one is
  // torn. `base` (a BigInt) is the instant 0 of the page.
  append(bytes, base) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const low = Number(base & 0xffffffffn),
      high = Number(base >> 32n);
    for (let at = 0; at + RECORD_BYTES <= bytes.byteLength; at += RECORD_BYTES) {
      const time =
        (view.getUint32(at + 4, true) - high) * 4294967296 + (view.getUint32(at, true) - low);
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
    const kind = word >>> 28,
      id = word & 0xffff;
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
    for (const column of [this.times, this.words, this.arguments])
      column.copyWithin(0, half, this.length);
    this.length -= half;
    this.dropped += half;
    this.marks.splice(0, half / BLOCK);
  }

  // Records were overwritten before they could be read.
  gap() {
    this.gaps = true;
    this.push(this.last, (KIND.GAP << 28) >>> 0, 0);
  }

  // How many records have been made at `time`.
  upTo(time) {
    let low = 0,
      high = this.length;
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
    for (let i = block * BLOCK; i < end; i++)
      reader.step(this.times[i], this.words[i] >>> 28, this.words[i] & 0xffff, this.arguments[i]);
    if (end > 0) reader.settle(time);
    return reader;
  }
}
