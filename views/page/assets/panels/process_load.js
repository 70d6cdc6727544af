// What the recorded process uses of the machine, since the page was opened: a picture of each.

const LOADS = {
  processors: { title: "processors", of: (value) => value },
  memory: { title: "memory, GB", of: (value) => value / 1e9 },
  gpu: { title: "GPU, %", of: (value) => 100 * value },
  gpu_memory: { title: "GPU memory, GB", of: (value) => value / 1e9 },
};

class ProcessLoad {
  constructor(place, redraw) {
    Object.assign(this, { place, redraw });
    this.clear();
  }

  clear() {
    this.pictures = new Map();
    this.place.replaceChildren();
    this.last = -Infinity;
  }

  add({ now, load = {} }) {
    if (now < this.last + SECOND / 2) return;
    for (const [name, value] of Object.entries(load)) {
      if (!(name in LOADS)) continue;
      this.series(name).push(now, LOADS[name].of(value));
      this.last = now;
    }
  }

  series(name) {
    if (!this.pictures.has(name)) {
      const picture = new MetricPicture(LOADS[name].title, this.redraw);
      this.pictures.set(name, { picture, series: new EventSeries() });
      this.place.append(picture.element);
    }
    return this.pictures.get(name).series;
  }

  draw(colours) {
    const options = { axis: X_AXES.time, weight: 0, log: false };
    for (const { picture, series } of this.pictures.values())
      picture.draw(series, [], options, colours);
  }
}
