// The whole run in one strip, with a frame around the window shown in the timeline.

class Overview {
  constructor(app, element) {
    this.app = app;
    this.canvas = new Canvas(element, parts.overview);
    this.strip = document.createElement("canvas");
    this.rendered = null;
  }

  draw(colours) {
    const { view } = this.app;
    this.canvas.resize(parts.overview);
    const left = this.canvas.width < 600 ? 62 : LEFT;
    this.scale = new TimeScale(view.first, view.end, left, this.canvas.width - RIGHT);
    if (this.isOutdated(colours)) this.render(colours);
    const context = this.canvas.clear();
    context.fillStyle = colours.soft;
    const isWhole = !this.app.records.losesBeginning;
    context.fillText(isWhole ? "whole run" : "last part", 0, parts.overview / 2);
    this.drawStrip(context, left);
    this.drawWindow(context, colours, left);
  }

  // Render the strip again when the length of the run has changed by 2 %, otherwise once a second
  // while it grows.
  isOutdated(colours) {
    const { rendered: last } = this;
    const { view, records } = this.app;
    if (!last || last.colours !== colours || last.width !== this.canvas.width) return true;
    if (last.first !== view.first || this.strip.height !== parts.overview) return true;
    const grown = Math.abs(view.end - last.end) / (view.end - view.first);
    if (grown > 0.02) return true;
    return (last.length !== records.length || grown > 0) && performance.now() - last.at > 1000;
  }

  render(colours) {
    const { view, records } = this.app;
    const { scale } = this;
    this.rendered = {
      colours,
      width: this.canvas.width,
      first: view.first,
      length: records.length,
      at: performance.now(),
      end: view.end,
    };
    this.strip.width = Math.max(1, this.canvas.width - RIGHT - scale.left);
    this.strip.height = parts.overview;
    const context = this.strip.getContext("2d");
    const own = new TimeScale(view.first, view.end, 0, this.strip.width);
    forEachPixel(records, own, this.strip.width, (x, spent, _, all) =>
      drawStack(context, colours, records.table.leaves, spent, all, x, 0, parts.overview),
    );
  }

  drawStrip(context, left) {
    const { view } = this.app;
    const width =
      (this.canvas.width - RIGHT - left) *
      ((this.rendered.end - view.first) / (view.end - view.first));
    context.imageSmoothingEnabled = false;
    context.drawImage(this.strip, left, 0, width, parts.overview);
  }

  drawWindow(context, colours, left) {
    const { view } = this.app;
    const from = this.scale.x(view.from),
      to = Math.max(from + 3, this.scale.x(view.to));
    context.globalAlpha = 0.62;
    context.fillStyle = colours.card;
    context.fillRect(left, 0, from - left, parts.overview);
    context.fillRect(to, 0, this.canvas.width - RIGHT - to, parts.overview);
    context.globalAlpha = 1;
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    context.strokeRect(from, 1, to - from, parts.overview - 2);
    context.lineWidth = 1;
    if (view.instant === null) return;
    context.fillStyle = colours.warn;
    context.fillRect(this.scale.x(view.instant) - 1, 0, 2, parts.overview);
  }
}
