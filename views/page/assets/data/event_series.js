// Events that are rarer than transitions: cancels, errors, scalars, scope changes. At most
// MOST_EVENTS of each; the oldest half is dropped first.

const MOST_EVENTS = 400_000;

class EventSeries {
  constructor(columns = ["times", "values"]) {
    this.length = 0;
    this.dropped = 0;
    this.columns = columns;
    for (const name of columns) this[name] = new Float64Array(64);
  }

  push(time, value) {
    if (this.length === MOST_EVENTS) this.dropOldest();
    if (this.length === this.times.length) this.grow();
    this.times[this.length] = time;
    this.values[this.length++] = value;
  }

  // A scalar, with the position of the run.
  pushAt(time, value, { epoch, step }) {
    this.push(time, value);
    this.epochs[this.length - 1] = epoch;
    this.steps[this.length - 1] = step;
  }

  grow() {
    for (const name of this.columns) {
      const larger = new Float64Array(2 * this.length);
      larger.set(this[name]);
      this[name] = larger;
    }
  }

  dropOldest() {
    const half = this.length >>> 1;
    for (const name of this.columns) this[name].copyWithin(0, half, this.length);
    this.length -= half;
    this.dropped += half;
  }

  // Number of events at or before `time`.
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

  // The last value at `time`, or undefined.
  valueAt(time) {
    const n = this.countUpTo(time);
    return n ? this.values[n - 1] : undefined;
  }
}

class Events {
  constructor() {
    this.cancels = new EventSeries();
    this.errors = new EventSeries();
    this.scopeChanges = new EventSeries();
    this.batchChanges = new EventSeries();
    this.scalars = [];
    this.position = null; // of the next scalars; not known if the ring has lost its record
    this.floatBits = new DataView(new ArrayBuffer(4));
  }

  add(time, kind, id, argument) {
    if (kind === KIND.CANCEL) this.cancels.push(time, id);
    else if (kind === KIND.ERROR) this.errors.push(time, id);
    else if (kind === KIND.SCALAR && this.position)
      this.scalar(id).pushAt(time, this.float(argument), this.position);
    else if (kind === KIND.POSITION) this.position = { epoch: id, step: argument };
  }

  // Points of metrics, by name, from before `first`; later ones are here already.
  addEarlier(points, names, first) {
    names.forEach((entry, id) => {
      const earlier = (points[entry?.name] ?? []).filter(([time]) => time < first);
      if (!earlier.length) return;
      const later = this.scalar(id);
      this.scalars[id] = undefined;
      for (const [time, epoch, step, value] of earlier)
        this.scalar(id).pushAt(time, value ?? NaN, { epoch, step });
      for (let i = 0; i < later.length; i++)
        this.scalar(id).pushAt(later.times[i], later.values[i], {
          epoch: later.epochs[i],
          step: later.steps[i],
        });
    });
  }

  scalar(id) {
    return (this.scalars[id] ??= new EventSeries(["times", "values", "epochs", "steps"]));
  }

  float(argument) {
    this.floatBits.setUint32(0, argument);
    return this.floatBits.getFloat32(0);
  }
}
