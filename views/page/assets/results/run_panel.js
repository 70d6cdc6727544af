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
    if (["runs", "facts"].includes(this.app.views.shown)) {
      this.show(); // what is known already, for many results take a moment
      this.results = await this.app.source.results();
      this.hasResults = true;
      this.app.requestDraw();
    }
    if (await this.readMarked()) this.app.curves.redraw();
    this.show();
  }

  // Without their results, until those are read.
  get runs() {
    return this.recordings.map((one) => ({ ...one, metrics: undefined, ...this.results[one.id] }));
  }

  show() {
    if (this.app.views.shown !== "runs") return;
    const { runs } = this;
    const found = filterRuns(runs, byId("run-filter").value);
    const count = found.length < runs.length ? `${found.length} of ${runs.length}` : runs.length;
    const reading = this.hasResults ? "" : ", reading their results";
    setText(byId("runs-count"), `· ${count}${reading}`);
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
    byId("runs-card").classList.toggle("comparing", runs.length > 1);
    if (key === this.key) return;
    this.key = key;
    if (runs.length > 1) this.comparison.show(runs);
    else byId("compared").replaceChildren();
  }

  async mark(id, isMarked) {
    if (isMarked) this.marked.add(id);
    else this.marked.delete(id);
    await this.readMarked();
    this.show();
    this.app.curves.redraw();
  }

  // Curves and times of marked runs, again when a run has ended an epoch, or is another one.
  async readMarked() {
    const changed = this.compared.filter((run) => this.details.get(run.id)?.place !== placeOf(run));
    await Promise.all(changed.map((run) => this.read(run)));
    return changed.length > 0;
  }

  async read(run) {
    try {
      const details = await this.app.source.details(run.id);
      this.details.set(run.id, { ...details, place: placeOf(run) });
    } catch {
      this.marked.delete(run.id); // it is gone
    }
  }

  // The runs to lay over the curves of the one that is shown.
  get overlaid() {
    return this.compared
      .filter(({ id }) => id !== this.app.opened && this.details.has(id))
      .map((run) => ({ title: titleOf(run), curves: this.details.get(run.id).curves }));
  }
}

function placeOf({ wall_ns, epoch, status }) {
  return `${wall_ns} ${epoch} ${status}`;
}
