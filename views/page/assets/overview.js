// The whole run in one strip, with the window that is looked at.

const OVERVIEW = 34 * TALL;

class Overview {
  constructor(app, element) {
    this.app = app;
    this.canvas = new Canvas(element, OVERVIEW);
    this.strip = document.createElement("canvas");
    this.drawn = null;
  }

  draw(ink) {
    const { view } = this.app;
    this.canvas.resize(OVERVIEW);
    const left = this.canvas.width < 600 ? 62 : LEFT;
    this.scale = new Scale(view.first, view.end, left, this.canvas.width - RIGHT);
    if (this.isOld(ink)) this.render(ink);
    const context = this.canvas.clear();
    context.fillStyle = ink.soft;
    context.fillText("whole run", 0, OVERVIEW / 2);
    this.place(context, left);
    this.window(context, ink, left);
  }

  // The strip is drawn anew when the run is a fiftieth longer, or shorter, and else, where it has
  // grown, every second.
  isOld(ink) {
    const { drawn } = this;
    const { view, records } = this.app;
    if (!drawn || drawn.ink !== ink || drawn.width !== this.canvas.width) return true;
    if (drawn.first !== view.first) return true;
    const grown = Math.abs(view.end - drawn.end) / (view.end - view.first);
    if (grown > 0.02) return true;
    return (drawn.length !== records.length || grown > 0) && performance.now() - drawn.at > 1000;
  }

  render(ink) {
    const { view, records } = this.app;
    const { scale } = this;
    this.drawn = {
      ink,
      width: this.canvas.width,
      first: view.first,
      length: records.length,
      at: performance.now(),
      end: view.end,
    };
    this.strip.width = Math.max(1, this.canvas.width - RIGHT - scale.left);
    this.strip.height = OVERVIEW;
    const context = this.strip.getContext("2d");
    const own = new Scale(view.first, view.end, 0, this.strip.width);
    eachPixel(records, own, this.strip.width, (x, spent, _, all) =>
      stack(context, ink, records.table.leaves, spent, all, x, 0, OVERVIEW),
    );
  }

  place(context, left) {
    const { view } = this.app;
    const width =
      (this.canvas.width - RIGHT - left) *
      ((this.drawn.end - view.first) / (view.end - view.first));
    context.imageSmoothingEnabled = false;
    context.drawImage(this.strip, left, 0, width, OVERVIEW);
  }

  window(context, ink, left) {
    const { view } = this.app;
    const from = this.scale.x(view.from),
      to = Math.max(from + 3, this.scale.x(view.to));
    context.globalAlpha = 0.62;
    context.fillStyle = ink.card;
    context.fillRect(left, 0, from - left, OVERVIEW);
    context.fillRect(to, 0, this.canvas.width - RIGHT - to, OVERVIEW);
    context.globalAlpha = 1;
    context.strokeStyle = ink.ink;
    context.lineWidth = 2;
    context.strokeRect(from, 1, to - from, OVERVIEW - 2);
    context.lineWidth = 1;
    if (view.instant === null) return;
    context.fillStyle = ink.warn;
    context.fillRect(this.scale.x(view.instant) - 1, 0, 2, OVERVIEW);
  }
}
