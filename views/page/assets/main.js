// Puts the parts together: one recording at a time, drawn when something is new.

// What is said of a stream that is open, that is closed for good, that is tried again.
const LOST = new Map([
  [null, ""],
  [true, "The server refuses this page: too many are open, or its recording is gone."],
  [false, "The server of this page is gone; it is tried again."],
]);

class App {
  constructor(source) {
    this.source = source;
    this.view = new View();
    this.header = new Header();
    this.controls = new Controls(this);
    this.speech = new Speech();
    this.received = this.drawn = 0;
    this.pending = false;
    listenToKeys(this);
    this.watchInk();
  }

  watchInk() {
    this.ink = readInk();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.ink = readInk();
      this.touch();
    });
    new ResizeObserver(() => this.touch()).observe(byId("lanes"));
    new ResizeObserver(() => this.board?.arrange()).observe(byId("board"));
  }

  async start() {
    this.runs = new Runs(this);
    await this.runs.look();
  }

  async open(id) {
    this.opened = id;
    this.records = null;
    delete document.body.dataset.ready;
    await this.source.open(id, {
      begin: (message) => {
        if (this.opened === id) this.begin(message);
      },
      update: (message, bytes) => {
        if (this.opened === id) this.update(message, bytes);
      },
      lost: (forGood) => this.lost(forGood),
    });
  }

  begin(meta) {
    this.meta = meta;
    this.base = BigInt(meta.monotonic_ns);
    this.names = new Names(meta.rows);
    this.records = new Records(this.names);
    this.view = Object.assign(new View(), { span: this.source instanceof Served ? 5e9 : Infinity });
    this.totals = { transitions: [], receivers: [] };
    put(byId("run-name"), meta.name);
    byId("live").hidden = !(this.source instanceof Served);
    document.title = `${meta.name} · trackside`;
    this.arrange();
  }

  // Everything whose shape depends on the names.
  arrange() {
    const { leaves } = this.names;
    this.shape = leaves.length;
    this.drawing = new Drawing(this);
    this.board = new Board(byId("board"), this.names);
    this.shares = new Shares(byId("stack"), byId("shares"), leaves);
    this.bills = new Bills();
    this.lanes = new Lanes(this, byId("lanes-canvas"));
    this.overview ??= new Overview(this, byId("overview-canvas"));
    this.overview.drawn = null;
  }

  update(message, bytes) {
    if (this.names.add(message.table)) {
      this.records.arrange(this.names);
      if (this.names.leaves.length !== this.shape) this.arrange();
      else this.lanes.arrange();
    }
    if (message.lost) this.records.gap();
    this.records.append(bytes, this.base);
    this.totals = message.totals;
    this.received += 1;
    this.live = message.live;
    this.view.extend(this.records.first, Math.max(this.records.last, message.live.now));
    this.touch();
  }

  lost(forGood) {
    this.unreachable = LOST.get(forGood);
    this.touch();
  }

  // Something is new: draw once, with the next frame.
  touch() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame((now) => {
      this.pending = false;
      this.draw(now);
    });
  }

  draw(now) {
    const { view, records } = this;
    if (!records || !this.live) return;
    if (view.playing) {
      view.advance(Math.min(100, now - (this.frame ?? now)) * 1e6);
      this.touch();
    }
    this.frame = now;
    const numbers = numbersOf(view, records, this.totals);
    this.numbers = numbers;
    this.drawNumbers(numbers, this.placeAt(numbers));
    this.lanes.draw(this.ink);
    this.overview.draw(this.ink);
    this.controls.show();
    drawSelection(this.lanes, this.controls.selected, this.ink);
    this.drawn += 1;
    document.body.dataset.ready = "true";
  }

  // Where the loop is at the end of what is looked at.
  placeAt(numbers) {
    const there = this.records.at(Math.min(numbers.stop, this.records.last));
    const leaf = this.names.leaves[there.leaf];
    const path = leaf?.path ?? (this.view.follow ? this.live.phase : "");
    return { path, row: this.names.transitions[there.transition]?.row ?? -1 };
  }

  drawNumbers(numbers, state) {
    this.header.show(statsOf(this, numbers), placeOf(this, state));
    alarm(this, state);
    this.drawing.show(numbers.chart, numbers.warm, state);
    this.board.show(numbers.chart, numbers.warm, state);
    this.shares.show(numbers.shares);
    this.bills.show(numbers, this.records);
    showScopes(this.view, numbers);
    put(byId("note"), this.unreachable || noteOf(this.meta, this.records));
    this.speech.show(this);
  }
}

function drawSelection(lanes, selected, ink) {
  if (!selected) return;
  const { context } = lanes.canvas;
  const [a, b] = selected.map((time) => lanes.scale.x(time));
  context.globalAlpha = 0.22;
  context.fillStyle = ink.accent;
  context.fillRect(Math.min(a, b), 0, Math.abs(b - a), lanes.height - AXIS);
  context.globalAlpha = 1;
  context.strokeStyle = ink.accent;
  context.strokeRect(Math.min(a, b), 0.5, Math.abs(b - a), lanes.height - AXIS - 1);
}

const app = new App(findSource());
app.start().catch((error) => put(byId("path"), `cannot show this: ${error.message}`));
globalThis.trackside = app; // for whoever looks from the console, and for tests
