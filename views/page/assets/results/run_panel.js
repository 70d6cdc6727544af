// The runs of the folder: a table; those that are marked are compared, and laid over the curves.

class RunPanel {
  constructor(app) {
    this.app = app;
    this.marked = new Set();
    this.details = new Map();
    this.results = {};
    this.recordings = [];
    this.table = new RunTable(byId("runs"), {
      open: (id) => app.recordings.choose(id),
      mark: (id, isMarked) => this.mark(id, isMarked),
    });
    this.comparison = new RunComparison(byId("compared"));
    byId("run-filter").addEventListener("input", () => this.show());
  }

  async refresh(recordings = this.recordings) {
    this.recordings = recordings;
    if (this.app.views.shown === "runs" || !this.isRead) {
      this.results = await this.app.source.results();
      this.isRead = true;
    }
    this.show();
  }

  get runs() {
    return this.recordings.map((one) => ({ ...one, ...this.results[one.id] }));
  }

  show() {
    if (this.app.views.shown !== "runs") return;
    const { runs } = this;
    const found = filterRuns(runs, byId("run-filter").value);
    const count = found.length < runs.length ? `${found.length} of ${runs.length}` : runs.length;
    setText(byId("runs-count"), `· ${count}`);
    byId("runs-none").hidden = found.length > 0;
    this.table.show(found, runColumns(runs), this.marked, this.app.opened);
    this.compare(runs);
  }

  // The marked runs that are still there, in the order in which they were marked.
  get compared() {
    const byId = new Map(this.runs.map((run) => [run.id, run]));
    return [...this.marked].filter((id) => byId.has(id)).map((id) => byId.get(id));
  }

  compare() {
    const { compared } = this;
    const runs = compared.map((run) => ({
      ...run,
      ...this.details.get(run.id),
      title: titleOf(run),
    }));
    const key = JSON.stringify(
      runs.map(({ id, metrics, facts, epochs }) => [id, metrics, facts, epochs]),
    );
    byId("compare-hint").hidden = runs.length > 1 || this.recordings.length < 2;
    if (key === this.key) return;
    this.key = key;
    if (runs.length > 1) this.comparison.show(runs);
    else byId("compared").replaceChildren();
  }

  async mark(id, isMarked) {
    if (isMarked) this.marked.add(id);
    else this.marked.delete(id);
    if (isMarked) await this.read(id);
    this.show();
    this.app.curves.redraw();
  }

  // Curves and times, read when a run is marked.
  async read(id) {
    try {
      this.details.set(id, await this.app.source.details(id));
    } catch {
      this.marked.delete(id); // it is gone
    }
  }

  // The runs to lay over the curves of the one that is shown.
  get overlaid() {
    return this.compared
      .filter(({ id }) => id !== this.app.opened && this.details.has(id))
      .map((run) => ({ title: titleOf(run), curves: this.details.get(run.id).curves }));
  }
}
