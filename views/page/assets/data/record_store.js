// The records of one run, and snapshots of their sums every 256 records: totals between any two
// times cost the same, however many records are between them.

const BLOCK = 256;
const MOST_RECORDS = 4_194_304;
const RECORD_BYTES = 16;
const OUTER_DEPTH = 3;

// Whether a transition opens or closes an outer scope: an epoch, training, validation.
function changesOuterScope({ source, path }) {
  return (
    outerScope(source) !== outerScope(path) || outerScope(path).split(".").length < OUTER_DEPTH
  );
}
function outerScope(path) {
  return path.split(".").slice(0, -1).slice(0, OUTER_DEPTH).join(".");
}

// Whether a transition opens or closes a batch.
function changesBatch({ source, path }) {
  return isInBatch(source) !== isInBatch(path);
}
function isInBatch(path) {
  return path.split(".").length > OUTER_DEPTH + 1;
}

class RecordStore {
  constructor(table) {
    this.events = new Events();
    this.table = table;
    this.length = 0;
    this.losesBeginning = false;
    this.lostCancels = 0;
    this.gaps = false;
    this.grow(16 * BLOCK);
    this.arrange(table);
  }

  // The symbol table has grown: the sums need more columns.
  arrange(table) {
    this.table = table;
    this.columns = new SumColumns(table);
    this.isScopeChange = table.transitions.map(changesOuterScope);
    this.isBatchChange = table.transitions.map(changesBatch);
    this.writer = new RecordAccumulator(this.columns, table);
    this.reader = new RecordAccumulator(this.columns, table);
    this.snapshots = [];
    for (let i = 0; i < this.length; i++) this.addToSums(i);
  }

  grow(size) {
    const larger = (Kind, old) => {
      const array = new Kind(size);
      if (old) array.set(old);
      return array;
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

  // Raw records: u64 nanoseconds, u32 kind << 28 | lap << 16 | id, u32 argument; all 0 if torn.
  // `base` (a BigInt, nanoseconds) is time 0 of the page.
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
    this.addToSums(i);
    const kind = word >>> 28,
      id = word & 0xffff;
    // a cancel or an error is that of the transition before it, and counts from then on
    const isOfTransition = kind === KIND.CANCEL || kind === KIND.ERROR;
    if (kind !== KIND.TRANSITION)
      this.events.add(isOfTransition ? this.writer.since : time, kind, id, argument);
    else if (this.isScopeChange[id]) this.events.scopeChanges.push(time, id + argument * 65536);
    else if (this.isBatchChange[id]) this.events.batchChanges.push(time, id + argument * 65536);
  }

  addToSums(i) {
    const { writer } = this;
    if (i === 0) writer.state[1] = this.times[0];
    if (i % BLOCK === 0) this.snapshots.push([writer.sums.slice(), writer.state.slice()]);
    writer.add(this.times[i], this.words[i] >>> 28, this.words[i] & 0xffff, this.arguments[i]);
  }

  // Drop the first half. The sums continue, so totals of the remaining records stay correct.
  dropOldest() {
    const half = Math.floor(this.length / 2 / BLOCK) * BLOCK;
    for (const column of [this.times, this.words, this.arguments])
      column.copyWithin(0, half, this.length);
    this.length -= half;
    this.losesBeginning = true;
    this.snapshots.splice(0, half / BLOCK);
  }

  // Records were overwritten before they could be read.
  markGap() {
    this.lostCancels = Infinity;
    if (!this.length) {
      this.losesBeginning = true;
      return;
    }
    this.gaps = true;
    this.push(this.last, (KIND.GAP << 28) >>> 0, 0);
  }

  // The recorder has counted `all` cancels; it may be a moment ahead of the records.
  countLostCancels(all) {
    const { length, dropped } = this.events.cancels;
    this.lostCancels = Math.min(this.lostCancels, all - length - dropped);
  }

  // Number of records at or before `time`.
  countUpTo(time) {
    let low = 0,
      high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // The sums and the state of the loop at a time; valid until the next call.
  stateAt(time) {
    const { reader } = this;
    const end = this.countUpTo(time);
    const block = Math.min(Math.floor(Math.max(0, end - 1) / BLOCK), this.snapshots.length - 1);
    if (block < 0) return reader;
    reader.restore(...this.snapshots[block]);
    for (let i = block * BLOCK; i < end; i++)
      reader.add(this.times[i], this.words[i] >>> 28, this.words[i] & 0xffff, this.arguments[i]);
    if (end > 0) reader.addOpenTime(time);
    return reader;
  }
}
