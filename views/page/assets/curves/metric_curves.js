// The learning curves: a picture for each recorded metric, in the place of the loop.

const CURVE_INTERVAL = 500;

class MetricCurves {
  constructor(app) {
    this.app = app;
    this.pictures = new Map();
    this.isShown = false;
    const redraw = () => {
      this.key = null;
      app.requestDraw();
    };
    for (const id of ["curve-axis", "curve-smoothing", "curve-log"])
      byId(id).addEventListener("input", redraw);
    byId("show-loop").addEventListener("click", () => this.toggle(false));
    byId("show-curves").addEventListener("click", () => this.toggle(true));
    this.redraw = redraw;
  }

  toggle(isShown = !this.isShown) {
    this.isShown = isShown;
    byId("loop-card").hidden = isShown;
    byId("curves-card").hidden = !isShown;
    byId("show-loop").setAttribute("aria-pressed", String(!isShown));
    byId("show-curves").setAttribute("aria-pressed", String(isShown));
    if (!isShown) this.app.board?.arrange();
    this.redraw();
  }

  clear() {
    this.pictures.clear();
    byId("curves").replaceChildren();
    this.key = null;
  }

  // Draw again if something has changed, while a fit runs at most every CURVE_INTERVAL.
  draw(records, colours) {
    if (!this.isShown) return;
    const key = [records.length, window.innerWidth, colours.paper].join();
    if (key === this.key || this.isEarly()) return;
    Object.assign(this, { key, at: performance.now() });
    const options = this.options();
    const names = recordedMetrics(records);
    byId("curves-none").hidden = names.length > 0;
    for (const { name, series } of names) this.picture(name).draw(series, options, colours);
  }

  isEarly() {
    const wait = this.key === null ? 0 : CURVE_INTERVAL - (performance.now() - this.at);
    clearTimeout(this.timer);
    if (wait > 0) this.timer = setTimeout(() => this.app.requestDraw(), wait);
    return wait > 0;
  }

  options() {
    return {
      axis: X_AXES[byId("curve-axis").value],
      weight: Number(byId("curve-smoothing").value),
      log: byId("curve-log").checked,
    };
  }

  picture(name) {
    if (!this.pictures.has(name)) {
      const picture = new MetricPicture(name, this.redraw);
      this.pictures.set(name, picture);
      byId("curves").append(picture.element);
    }
    return this.pictures.get(name);
  }
}

// All metrics with a value, in the order in which they were first reported.
function recordedMetrics(records) {
  return records.table.scalars.flatMap((entry, id) => {
    const series = records.events.scalars[id];
    return series?.length ? [{ name: entry.name, series }] : [];
  });
}
