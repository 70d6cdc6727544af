// The live page: shows one recording at a time, and draws a frame when something has changed.

// By the state of the event stream: open, closed for good, reconnecting.
const CONNECTION_TEXT = new Map([
  [null, ""],
  [true, "The server refuses this page: too many are open, or its recording is gone."],
  [false, "The server of this page does not answer; trying again."],
]);

class App {
  constructor(source) {
    this.source = source;
    this.view = new TimelineView();
    this.header = new Header();
    this.controls = new Controls(this);
    this.announcer = new Announcer();
    this.views = new ViewSwitch((name) => this.onView(name));
    this.curves = new MetricCurves(this);
    this.runs = new RunPanel(this);
    this.pictures = new PicturePanel(this);
    this.facts = new FactList(byId("facts"));
    this.load = new ProcessLoad(byId("load"), () => this.requestDraw());
    this.framesDrawn = 0;
    this.pending = false;
    listenToKeys(this);
    addDownloads(this);
    this.watchColours();
  }

  watchColours() {
    this.colours = readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours = readColours();
      this.requestDraw();
    });
    addEventListener("resize", () => {
      arrangeParts();
      this.requestDraw();
    });
    new ResizeObserver(() => this.requestDraw()).observe(byId("lanes"));
    new ResizeObserver(() => this.board?.arrange()).observe(byId("board"));
    for (const id of ["side", "board"]) byId(id).addEventListener("scroll", markMoreBelow);
  }

  async start() {
    this.recordings = new RecordingList(this);
    await this.recordings.refresh();
  }

  onView(name) {
    if (name === "loop") this.board?.arrange();
    this.runs.refresh().catch(() => {}); // it is refreshed again
    this.curves.redraw();
    this.pictures.show();
  }

  async open(id) {
    this.opened = id;
    this.records = this.live = null;
    this.progress = new LoadingProgress();
    delete document.body.dataset.ready;
    await this.source.open(id, {
      begin: (message) => {
        if (this.opened === id) this.begin(message);
      },
      update: (message, bytes) => {
        if (this.opened === id) this.update(message, bytes);
      },
      connection: (closed) => this.onConnection(closed),
    });
  }

  begin(meta) {
    this.meta = meta;
    this.base = BigInt(meta.monotonic_ns);
    this.table = new SymbolTable(meta.rows);
    this.records = new RecordStore(this.table);
    this.view = Object.assign(new TimelineView(), {
      span: this.source instanceof ServerSource ? 5e9 : Infinity,
    });
    this.recordedTotals = { transitions: [], receivers: [] };
    this.live = null;
    this.progress = new LoadingProgress();
    this.earlier = meta.metrics;
    this.curves.clear();
    this.load.clear();
    this.pictures.clear();
    setText(byId("run-name"), meta.name);
    byId("live").hidden = !(this.source instanceof ServerSource);
    document.title = `${meta.name} · trackside`;
    this.arrange();
  }

  // Create everything whose shape depends on the symbol table.
  arrange() {
    const { leaves } = this.table;
    this.leafCount = leaves.length;
    this.board = new PhaseBoard(byId("board"), this.table);
    this.shares = new TimeShares(byId("stack"), byId("shares"), leaves);
    this.costs = new CostTables();
    this.lanes = new Lanes(this, byId("lanes-canvas"));
    this.overview ??= new Overview(this, byId("overview-canvas"));
    this.overview.rendered = null;
  }

  update(message, bytes) {
    if (this.table.add(message.table)) {
      this.records.arrange(this.table);
      if (this.table.leaves.length !== this.leafCount) this.arrange();
      else this.lanes.arrange();
    }
    if (message.lost) this.records.markGap();
    this.records.append(bytes, this.base);
    this.addEarlierMetrics();
    this.recordedTotals = message.totals;
    this.records.countLostCancels(recordedCancels(this.table, message.totals));
    this.live = message.live;
    this.progress.add(message, message.live.now - this.records.last);
    this.load.add(message.live);
    this.view.extend(this.records.first, Math.max(this.records.last, message.live.now));
    this.requestDraw();
  }

  // Metrics from before the first record that the ring still has.
  addEarlierMetrics() {
    const { records } = this;
    if (!this.earlier || !records.length) return;
    records.events.addEarlier(this.earlier, this.table.scalars, records.first);
    this.earlier = null;
  }

  onConnection(closed) {
    this.connectionText = CONNECTION_TEXT.get(closed);
    this.progress.explain(this.connectionText);
    this.requestDraw();
  }

  // Something has changed: draw once, in the next frame.
  requestDraw() {
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
    if (this.progress.isLoading) return; // what is read so far is not the run
    this.progress.show();
    if (view.playing) {
      view.advance(Math.min(100, now - (this.frame ?? now)) * 1e6);
      this.requestDraw();
    }
    this.frame = now;
    this.totals = totalsOfView(view, records, this.recordedTotals);
    this.drawTotals(this.totals, this.loopState(this.totals));
    this.lanes.draw(this.colours);
    this.overview.draw(this.colours);
    this.curves.draw(records, this.colours);
    if (this.views.shown === "facts") this.drawFacts();
    if (this.views.shown === "pictures") this.pictures.refresh(this.live.pictures);
    this.controls.show();
    drawSelection(this.lanes, this.controls.selected, this.colours);
    markMoreBelow();
    this.framesDrawn += 1;
    document.body.dataset.ready = "true";
  }

  drawFacts() {
    const { facts = {} } = this.runs.results[this.opened] ?? {};
    byId("facts-none").hidden = Object.keys(facts).length > 0;
    this.facts.show(facts, this.meta);
    this.load.draw(this.colours);
  }

  // The phase and the last row at the end of what is shown.
  loopState(totals) {
    const position = this.records.stateAt(Math.min(totals.stop, this.records.last));
    const leaf = this.table.leaves[position.leaf];
    const path = leaf?.path ?? (this.view.follow ? this.live.phase : "");
    return { path, row: this.table.transitions[position.transition]?.row ?? -1 };
  }

  drawTotals(totals, state) {
    this.header.show(headerStats(this, totals), currentPlace(this, state));
    showAlarm(this);
    this.board.show(totals.main, totals.recent, state);
    this.shares.show(totals.shares);
    this.costs.show(totals, this.records);
    showCaptions(this.view, totals, this.records);
    const note = recordingNote(this.meta, this.records) + rewindNote(this.view, this.records);
    setText(byId("note"), this.connectionText || note);
    this.announcer.show(this);
  }
}

// Fades out the end of what can be scrolled on.
function markMoreBelow() {
  for (const place of [byId("side"), byId("board")]) {
    const below = place.scrollHeight - place.clientHeight - place.scrollTop;
    place.classList.toggle("more", below > 4);
  }
}

function drawSelection(lanes, selected, colours) {
  if (!selected) return;
  const { context } = lanes.canvas;
  const [a, b] = selected.map((time) => lanes.scale.x(time));
  context.globalAlpha = 0.22;
  context.fillStyle = colours.accent;
  context.fillRect(Math.min(a, b), 0, Math.abs(b - a), lanes.height - AXIS);
  context.globalAlpha = 1;
  context.strokeStyle = colours.accent;
  context.strokeRect(Math.min(a, b), 0.5, Math.abs(b - a), lanes.height - AXIS - 1);
}

const app = new App(findSource());
app.start().catch((error) => setText(byId("path"), `cannot show this: ${error.message}`));
globalThis.trackside = app; // for the browser's console, and for tests
