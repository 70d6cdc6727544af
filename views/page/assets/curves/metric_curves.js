// The learning curves: a picture for each recorded metric, in the place of the loop.

const CURVE_INTERVAL = 500;

class MetricCurves {
  constructor(app) {
    this.app = app;
    this.pictures = new Map();
    const redraw = () => {
      this.key = null;
      app.requestDraw();
    };
    for (const id of ["curve-axis", "curve-smoothing", "curve-log"])
      byId(id).addEventListener("input", redraw);
    this.redraw = redraw;
  }

  clear() {
    this.pictures.clear();
    byId("curves").replaceChildren();
    this.key = null;
  }

  // Draw again if something has changed, while a fit runs at most every CURVE_INTERVAL.
  draw(records, colours) {
    if (this.app.views.shown !== "curves") return;
    const key = [records.length, window.innerWidth, colours.paper].join();
    if (key === this.key || this.isEarly()) return;
    Object.assign(this, { key, at: performance.now() });
    const options = this.options();
    const names = recordedMetrics(records);
    byId("curves-none").hidden = names.length > 0;
    const others = this.app.runs.overlaid.map((run, i) => ({ ...run, ...overlayStyle(i) }));
    this.legend(others, colours);
    for (const { name, series } of names) {
      const over = others.map((other) => ({ ...other, points: other.curves[name] ?? [] }));
      this.picture(name).draw(series, over, options, colours);
    }
  }

  // The colour and the letter of each run; nothing if no other is laid over.
  legend(others, colours) {
    const runs = [{ title: this.app.meta.name, tone: 0, letter: "A" }, ...others];
    const key = JSON.stringify([runs.map(({ title }) => title), colours.paper]);
    if (key === this.legendKey) return;
    this.legendKey = key;
    byId("curves-legend").replaceChildren(...(others.length ? runs : []).map(legendItem));
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

const OVERLAY_TONES = [3, 5, 2, 1, 6, 7, 8, 4];

function overlayStyle(i) {
  return { tone: OVERLAY_TONES[i % OVERLAY_TONES.length], letter: letterOf(i + 1) };
}

function legendItem({ title, tone, letter }) {
  const item = newElement("li", "", `${letter} ${title}`);
  item.style.setProperty("--tone", `var(--tone-${tone})`);
  return item;
}

// All metrics with a value, in the order in which they were first reported.
function recordedMetrics(records) {
  return records.table.scalars.flatMap((entry, id) => {
    const series = records.events.scalars[id];
    return series?.length ? [{ name: entry.name, series }] : [];
  });
}
