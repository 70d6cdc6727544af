// What was shown of the evaluations of a run: the newest, or those of the epoch that is chosen.

const PICTURE_INTERVAL = 1000;

class PicturePanel {
  constructor(app) {
    this.app = app;
    this.clear();
    byId("pictures-at").addEventListener("input", () => {
      const at = Number(byId("pictures-at").value);
      this.chosen = at < this.places.length - 1 ? this.places[at] : null;
      this.show();
    });
  }

  clear() {
    Object.assign(this, { all: [], places: [], chosen: null, key: null, revision: 0 });
    this.show();
  }

  // Read them again if they were written again, at most every PICTURE_INTERVAL.
  async refresh(revision) {
    if (revision === this.revision || this.reading) return;
    const wait = PICTURE_INTERVAL - (performance.now() - (this.at ?? -Infinity));
    clearTimeout(this.timer);
    if (wait > 0 && this.revision) {
      this.timer = setTimeout(() => this.app.requestDraw(), wait);
      return;
    }
    Object.assign(this, { reading: true, at: performance.now() });
    const { opened } = this.app;
    try {
      const all = await this.app.source.pictures(opened);
      if (this.app.opened === opened) Object.assign(this, { all, revision });
    } catch {
      // the server does not answer: it is asked again
    }
    this.reading = false;
    this.show();
  }

  // The pictures at the chosen place: of each name the newest that is not later.
  get shown() {
    const last = this.chosen ?? Infinity;
    const newest = new Map(this.all.filter(({ step }) => step <= last).map((p) => [p.name, p]));
    return [...newest.values()];
  }

  show() {
    if (this.app.views?.shown !== "pictures") return;
    this.places = [...new Set(this.all.map(({ step }) => step))].sort((a, b) => a - b);
    const at = this.chosen === null ? this.places.length - 1 : this.places.indexOf(this.chosen);
    const key = `${this.revision} ${this.places[at]} ${this.app.opened}`;
    if (key === this.key) return;
    this.key = key;
    const { shown } = this;
    byId("pictures-none").hidden = shown.length > 0;
    setText(byId("pictures-scope"), this.scope(at));
    this.showSlider(at);
    byId("pictures").replaceChildren(...shown.map(pictureSection));
  }

  scope(at) {
    const step = this.places[at];
    const here = this.all.find((picture) => picture.step === step);
    return here ? `· epoch ${here.epoch + 1}, step ${step}` : "";
  }

  showSlider(at) {
    const slider = byId("pictures-at");
    byId("pictures-pick").hidden = this.places.length < 2;
    slider.max = String(Math.max(0, this.places.length - 1));
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", this.scope(at).replace("· ", ""));
  }
}

function pictureSection({ name, epoch, examples, classes, counts }) {
  const section = newElement("section", "picture");
  const head = newElement("div", "picture-head");
  head.append(newElement("h3", "", `${name} · epoch ${epoch + 1}`));
  section.append(head, examples ? exampleCards(examples) : confusionTable(classes, counts));
  const table = section.querySelector("table");
  const file = () => `${name}-epoch-${epoch + 1}`;
  const svg = () => tableSvg(table, readColours().card);
  if (table) head.append(pictureButtons(name, file, svg));
  return section;
}
