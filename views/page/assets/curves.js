// What the recording says now and then: cancels, errors, scalars. Bounded, oldest out first.

const MOST_EVENTS = 400_000;

class Series {
  constructor() {
    this.length = 0;
    this.times = new Float64Array(64);
    this.values = new Float64Array(64);
  }

  push(time, value) {
    if (this.length === MOST_EVENTS) this.halve();
    if (this.length === this.times.length) this.grow();
    this.times[this.length] = time;
    this.values[this.length++] = value;
  }

  grow() {
    for (const name of ["times", "values"]) {
      const larger = new Float64Array(2 * this.length);
      larger.set(this[name]);
      this[name] = larger;
    }
  }

  halve() {
    const half = this.length >>> 1;
    this.times.copyWithin(0, half, this.length);
    this.values.copyWithin(0, half, this.length);
    this.length -= half;
  }

  // How many lie at or before `time`.
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

  at(time) {
    const n = this.upTo(time);
    return n ? this.values[n - 1] : undefined;
  }
}

class Events {
  constructor() {
    this.cancels = new Series();
    this.errors = new Series();
    this.borders = new Series();
    this.batches = new Series();
    this.scalars = [];
    this.number = new DataView(new ArrayBuffer(4));
  }

  add(time, kind, id, argument) {
    if (kind === KIND.CANCEL) this.cancels.push(time, id);
    else if (kind === KIND.ERROR) this.errors.push(time, id);
    else if (kind === KIND.SCALAR) this.scalar(id).push(time, this.float(argument));
  }

  scalar(id) {
    return (this.scalars[id] ??= new Series());
  }

  float(argument) {
    this.number.setUint32(0, argument);
    return this.number.getFloat32(0);
  }
}
