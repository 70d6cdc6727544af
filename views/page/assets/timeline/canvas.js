// Heights of the parts of the timeline in pixels, up to a height of the window.
const PARTS = [
  [800, { lane: 13, gap: 2, curve: 46, overview: 20 }],
  [820, { lane: 13, gap: 2, curve: 46, overview: 24 }],
  [1000, { lane: 14, gap: 3, curve: 50, overview: 28 }],
  [1150, { lane: 16, gap: 4, curve: 58, overview: 34 }],
  [Infinity, { lane: 24, gap: 6, curve: 87, overview: 51 }],
];
const parts = {};

// Where the window is scrolled, nothing has to be low. What the alarm takes, the timeline gives, so
// that the chart is still whole.
function arrangeParts() {
  const whole = window.innerHeight - (byId("banner").hidden ? 0 : 100);
  const height = isOneView.matches ? whole : Math.max(1100, window.innerHeight);
  Object.assign(parts, PARTS.find(([most]) => height <= most)[1]);
}

// As in layout.css.
const isOneView = matchMedia("(min-width: 1360px) and (min-height: 600px)");
arrangeParts();

// A canvas as wide as its parent, with the resolution of the screen.

class Canvas {
  constructor(element, height) {
    this.element = element;
    this.context = element.getContext("2d", { alpha: true });
    this.resize(height);
  }

  // Returns whether the size has changed.
  resize(height) {
    const width = Math.max(1, Math.round(this.element.parentElement.clientWidth));
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    if (width === this.width && height === this.height && ratio === this.ratio) return false;
    Object.assign(this, { width, height, ratio });
    this.element.width = Math.round(width * ratio);
    this.element.height = Math.round(height * ratio);
    this.element.style.height = `${height}px`;
    return true;
  }

  clear() {
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    this.context.textBaseline = "middle";
    return this.context;
  }
}

// Maps times to x coordinates and back.
class TimeScale {
  constructor(from, to, left, right) {
    Object.assign(this, {
      from,
      to,
      left,
      right,
      perPixel: (to - from) / Math.max(1, right - left),
    });
  }

  x(time) {
    return this.left + (time - this.from) / this.perPixel;
  }
  time(x) {
    return this.from + (x - this.left) * this.perPixel;
  }
}

// Round times for an axis, one about every `apart` pixels.
function ticks(scale, apart) {
  const rough = scale.perPixel * apart;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const times = [];
  for (let n = Math.ceil(scale.from / step); n * step <= scale.to && times.length < 60; n++)
    times.push(n * step);
  return { step, times };
}

// Draw the text only if it fits into the width.
function drawTextInside(context, text, x, y, width) {
  if (width < 18) return;
  const measured = context.measureText(text).width;
  if (measured + 8 <= width) context.fillText(text, x + 4, y);
}
