// The picture of one metric: axes with units, its curve, the value under the pointer.

const PICTURE_HEIGHT = 190;
const PICTURE_MARGIN = { left: 58, right: 12, top: 10, bottom: 34 };

class MetricPicture {
  constructor(name, requestDraw) {
    this.name = name;
    this.element = newElement("figure", "metric");
    this.value = newElement("output", "metric-value");
    const caption = newElement("figcaption", "", name);
    const save = pictureButtons(
      name,
      () => name,
      () => this.svg(),
    );
    caption.append(" ", this.value);
    const place = newElement("div"),
      canvas = newElement("canvas");
    canvas.setAttribute("role", "img");
    place.append(canvas);
    this.element.append(caption, save, place);
    this.drawing = canvas;
    this.pointer = null;
    canvas.addEventListener("pointermove", (event) => {
      this.pointer = event.clientX - canvas.getBoundingClientRect().left;
      requestDraw();
    });
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      requestDraw();
    });
  }

  // `others` are runs to lay over it: their letter, their points of this metric and a tone.
  draw(series, others, { axis, weight, log }, colours) {
    this.drawn = [series, others, { axis, weight, log }, colours];
    this.canvas ??= new Canvas(this.drawing, PICTURE_HEIGHT);
    this.canvas.resize(PICTURE_HEIGHT);
    const { xs, ys, odd } = metricPoints(series, axis);
    const mean = weight > 0 ? smoothed(ys, weight) : ys;
    const height = log ? (y) => (y > 0 ? Math.log10(y) : NaN) : (y) => y;
    const over = others.map((other) => ({
      ...other,
      ...overlaidPoints(other.points, axis, weight),
    }));
    const scale = this.scale(
      [{ xs, ys }, { xs: odd.xs, ys: [] }, ...over].filter((one) => one.xs.length),
      height,
    );
    const context = this.canvas.clear();
    this.axes(context, scale, axis, log, colours);
    for (const other of over)
      this.curve(context, scale, other.xs, other.mean.map(height), colours.tones[other.tone], 0.85);
    if (weight > 0) this.curve(context, scale, xs, ys.map(height), colours.tones[0], 0.28);
    this.curve(context, scale, xs, mean.map(height), colours.tones[0], 1);
    const undrawn = [...odd.xs, ...xs.filter((_, i) => Number.isNaN(height(ys[i])))];
    this.marks(context, scale, undrawn, colours);
    const text = this.show(context, scale, axis, { xs, ys, odd, mean, over }, height, colours);
    this.say(undrawn.length ? `${text} · \u25B2 ${undrawn.length} not drawn` : text);
  }

  // A mark at the axis where a value is NaN, infinite, or has no logarithm.
  marks(context, scale, undrawn, colours) {
    const floor = PICTURE_HEIGHT - PICTURE_MARGIN.bottom;
    context.fillStyle = colours.alarm;
    context.beginPath();
    for (const x of new Set(undrawn.map((at) => Math.round(scale.x(at))))) {
      context.moveTo(x - 4, floor);
      context.lineTo(x, floor - 7);
      context.lineTo(x + 4, floor);
    }
    context.fill();
  }

  say(text) {
    setText(this.value, text);
    this.drawing.setAttribute("aria-label", `${this.name}: ${text}`);
  }

  // The same picture as SVG.
  svg() {
    const { canvas } = this;
    this.canvas = new SvgCanvas(canvas.width, canvas.height);
    try {
      this.draw(...this.drawn);
      return this.canvas.text(this.drawn[3].card);
    } finally {
      this.canvas = canvas;
    }
  }

  scale(curves, height) {
    const { left, right, top, bottom } = PICTURE_MARGIN;
    const heights = curves.flatMap(({ ys }) => ys.map(height));
    const xs = curves.flatMap((curve) => [curve.xs[0], curve.xs.at(-1)]).sort((a, b) => a - b);
    let [low, high] = valueRange(heights, 0, heights.length);
    // a record has single precision, a metric of the whole run double
    if (low === high || high - low < 1e-6 * Math.abs(high))
      [low, high] = [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
    const pad = 0.05 * (high - low);
    const first = xs[0] ?? 0,
      last = xs.at(-1) > first ? xs.at(-1) : first + 1;
    const width = this.canvas.width - left - right,
      tall = PICTURE_HEIGHT - top - bottom;
    return {
      first,
      last,
      low: low - pad,
      high: high + pad,
      x: (value) => left + (width * (value - first)) / (last - first),
      y: (value) => top + tall * (1 - (value - low + pad) / (high - low + 2 * pad)),
      at: (x) => first + ((x - left) / width) * (last - first),
    };
  }

  axes(context, scale, axis, log, colours) {
    const { left, right, bottom } = PICTURE_MARGIN;
    const floor = PICTURE_HEIGHT - bottom,
      end = this.canvas.width - right;
    context.strokeStyle = colours.line;
    context.fillStyle = colours.soft;
    context.textAlign = "right";
    context.beginPath();
    const heights = log ? logTicks(scale.low, scale.high) : axisTicks(scale.low, scale.high, 4);
    for (const value of heights) {
      const y = Math.round(scale.y(value)) + 0.5;
      context.moveTo(left, y);
      context.lineTo(end, y);
      context.fillText(formatNumber(log ? 10 ** value : value), left - 6, y);
    }
    context.textAlign = "center";
    const whole = axis.unit === "s" ? 0 : 1;
    for (const value of axisTicks(scale.first, scale.last, this.canvas.width / 90, whole)) {
      const x = Math.round(scale.x(value)) + 0.5;
      context.moveTo(x, floor);
      context.lineTo(x, floor + 4);
      context.fillText(formatAxisValue(value), clamp(x, left, end - 10), floor + 12);
    }
    context.stroke();
    context.fillText(axis.unit, (left + end) / 2, PICTURE_HEIGHT - 7);
    context.textAlign = "start";
  }

  // Where many points fall on one pixel, a line from the lowest to the highest.
  curve(context, scale, xs, heights, colour, opacity) {
    context.globalAlpha = opacity;
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 1.6;
    context.beginPath();
    let pixel = null,
      least = 0,
      most = 0;
    const finish = () => {
      if (pixel === null || least === most) return;
      context.lineTo(pixel, least);
      context.lineTo(pixel, most);
    };
    heights.forEach((value, i) => {
      if (Number.isNaN(value)) return;
      const x = scale.x(xs[i]),
        y = scale.y(value);
      if (pixel !== null && x - pixel < 1) {
        least = Math.min(least, y);
        most = Math.max(most, y);
        return;
      }
      finish();
      context.lineTo(x, y);
      pixel = x;
      least = most = y;
    });
    finish();
    context.stroke();
    if (xs.length < 60)
      heights.forEach((value, i) => {
        if (!Number.isNaN(value)) context.fillRect(scale.x(xs[i]) - 2, scale.y(value) - 2, 4, 4);
      });
    context.lineWidth = 1;
    context.globalAlpha = 1;
  }

  // Marks the value under the pointer, and returns it, or the last one, as text.
  show(context, scale, axis, { xs, ys, odd, mean, over }, height, colours) {
    const at = this.pointer === null ? Infinity : scale.at(this.pointer);
    const i = nearestIndex(xs, at),
      j = nearestIndex(odd.xs, at);
    const text = (value, x) => `${value} at ${placeText(x, axis)}${othersText(over, x, axis)}`;
    if (isNearer(odd.xs[j], xs[i], at)) return text(odd.ys[j], odd.xs[j]);
    if (!xs.length) return "";
    const smooth = mean === ys ? "" : `, smoothed ${formatNumber(mean[i])}`;
    const found = text(`${formatNumber(ys[i])}${smooth}`, xs[i]);
    if (this.pointer === null) return found;
    const x = scale.x(xs[i]);
    context.fillStyle = colours.warn;
    context.fillRect(x - 0.5, PICTURE_MARGIN.top, 1, PICTURE_HEIGHT - PICTURE_MARGIN.bottom - 10);
    const y = scale.y(height(mean[i]));
    if (!Number.isNaN(y)) context.fillRect(x - 3, y - 3, 6, 6);
    return found;
  }
}

// Whether `one` is nearer to `at` than `other`: later, if that is infinite. Both may be missing.
function isNearer(one, other, at) {
  if (one === undefined || other === undefined) return one !== undefined;
  return at === Infinity ? one > other : Math.abs(one - at) < Math.abs(other - at);
}

function placeText(x, axis) {
  return axis.unit === "s" ? `${formatNumber(x)} s` : `${axis.unit} ${x}`;
}

// The values of the other runs at the same place, by their letters; where one has ended before, or
// begins later, that place, too.
function othersText(over, x, axis) {
  const texts = over
    .filter(({ xs }) => xs.length)
    .map(({ letter, xs, ys }) => {
      const i = nearestIndex(xs, x);
      const isOutside = x < xs[0] || x > xs.at(-1);
      const where = isOutside ? ` (${placeText(xs[i], axis)})` : "";
      return `${letter} ${formatNumber(ys[i])}${where}`;
    });
  return texts.length ? ` · ${texts.join(" · ")}` : "";
}

function formatAxisValue(value) {
  const isShort = Number.isInteger(value) && Math.abs(value) < 1e6;
  return isShort ? formatCount(value) : formatNumber(value);
}
