// The choice of the recording, if there are several.

const REFRESH_INTERVAL = 3000;

class RecordingList {
  constructor(app) {
    this.app = app;
    this.select = byId("run");
    this.select.addEventListener("change", () => this.choose(this.select.value));
    this.ranks = new RankTables();
  }

  // Recordings are added and removed: ask a server again every REFRESH_INTERVAL milliseconds.
  async refresh() {
    const recordings = await this.app.source.list();
    this.recordings = recordings;
    this.show(recordings);
    if (!this.app.opened) this.openFirst(recordings);
    this.ranks.show(recordings, this.app.opened);
    await this.app.runs.refresh(recordings);
    if (this.app.source instanceof ServerSource) this.refreshLater();
  }

  refreshLater() {
    setTimeout(() => this.refresh().catch(() => this.refreshLater()), REFRESH_INTERVAL);
  }

  openFirst(recordings) {
    const requested = decodeURIComponent(location.hash.slice(1));
    const first = recordings.find(({ id }) => id === requested) ?? recordings[0];
    if (first) this.app.open(first.id);
    else setText(byId("path"), "no recording yet");
  }

  choose(id) {
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    this.app.open(id);
    this.select.value = id;
    this.ranks.show(this.recordings, id);
    this.app.runs.show();
  }

  show(recordings) {
    const several = recordings.length > 1;
    byId("pick").hidden = !several;
    byId("run-name").hidden = several;
    const titles = recordings.map((one) => `${one.id} ${titleOf(one)}`).join();
    if (titles !== this.titles)
      this.select.replaceChildren(...recordings.map((one) => new Option(titleOf(one), one.id)));
    this.titles = titles;
    this.select.value = this.app.opened ?? this.select.value;
    this.select.title = this.select.selectedOptions[0]?.text ?? "";
  }
}

function titleOf({ name, rank, world }) {
  return world > 1 ? `${name}, rank ${rank}` : name;
}

function statusOf({ status, phase }) {
  const where = breadcrumbs(phase ?? "")
    .split(" › ")
    .slice(-2)
    .join(" › ");
  if (status === "ended") return where;
  return status === "running" ? `running ${where}` : `${status.toUpperCase()} ${where}`;
}
