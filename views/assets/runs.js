// Which recording is shown, and, where there are several, how the others are.

class Runs {
  constructor(app) {
    this.app = app;
    this.select = byId("run");
    this.select.addEventListener("change", () => this.choose(this.select.value));
    this.table = new Table(byId("runs"), ["recording", "phase", "epoch", "batch"], "Recordings");
  }

  choose(id) {
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    this.app.open(id);
  }

  show(recordings) {
    const several = recordings.length > 1;
    byId("pick").hidden = !several;
    byId("run-name").hidden = several;
    byId("runs-card").hidden = !several;
    this.select.replaceChildren(...recordings.map((one) => new Option(titleOf(one), one.id)));
    this.table.show(recordings.map((one) => [titleOf(one), statusOf(one), outOf(one.epoch, one.n_epochs), outOf(one.batch, one.n_batches)]));
  }
}

function titleOf({ name, rank, world }) {
  return world > 1 ? `${name}, rank ${rank}` : name;
}

function statusOf({ status, phase }) {
  const where = breadcrumbs(phase ?? "").split(" › ").slice(-2).join(" › ");
  return status === "running" ? where : `${status.toUpperCase()} ${where}`;
}
