// Curves of loss, learning rate and metrics over the same instants as the lanes.

function curvesOf(records) {
  const found = [];
  records.table.scalars.forEach((entry, id) => {
    const series = records.events.scalars[id];
    if (series?.length) found.push({ name: entry.name, series });
  });
  const order = ({ name }) => (name === "loss" ? 0 : name === "lr" ? 1 : /loss/.test(name) ? 2 : 3);
  return found.sort((a, b) => order(a) - order(b)).slice(0, 4);
}

const CURVE_TONES = [0, 3, 5, 2];
const DASHES = [[], [6, 4], [2, 3], [9, 3, 2, 3]];

function drawCurves(context, lanes, ink) {
  const { curves, scale } = lanes;
  const right = lanes.canvas.width - RIGHT;
  if (!curves.length) return;
  context.fillStyle = ink.well;
  context.fillRect(lanes.left, 0, right - lanes.left, CURVE);
  context.save();
  context.beginPath();
  context.rect(lanes.left, 0, right - lanes.left, CURVE);
  context.clip();
  curves.forEach((curve, i) =>
    drawCurve(context, lanes, scale, curve, ink.tones[CURVE_TONES[i]], DASHES[i]),
  );
  context.restore();
  legend(context, lanes, curves, ink);
}

// Where points are many, the lowest and the highest of each pixel.
function drawCurve(context, lanes, scale, { series }, colour, dash) {
  const first = Math.max(0, series.upTo(scale.from) - 1),
    last = Math.min(series.length, series.upTo(scale.to) + 1);
  const [low, high] = extremes(series.values, first, last);
  const y = (value) => CURVE - 6 - ((CURVE - 12) * (value - low)) / (high - low || 1);
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 1.6;
  context.setLineDash(dash);
  context.beginPath();
  let pixel = null,
    least = 0,
    most = 0;
  for (let i = first; i < last; i++) {
    const value = series.values[i];
    if (!Number.isFinite(value)) continue;
    const x = scale.x(series.times[i]);
    if (pixel !== null && x - pixel < 1) {
      least = Math.min(least, value);
      most = Math.max(most, value);
      continue;
    }
    if (pixel !== null && least < most) {
      context.lineTo(pixel, y(least));
      context.lineTo(pixel, y(most));
    }
    context.lineTo(x, y(value));
    pixel = x;
    least = most = value;
  }
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 1;
  if (last - first < 60) dots(context, scale, series, first, last, y);
}

function dots(context, scale, series, first, last, y) {
  for (let i = first; i < last; i++)
    context.fillRect(scale.x(series.times[i]) - 2, y(series.values[i]) - 2, 4, 4);
}

function extremes(values, first, last) {
  let low = Infinity,
    high = -Infinity;
  for (let i = first; i < last; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

// Beside the lanes: the name of each curve with a piece of its line, and its value at the instant.
function legend(context, lanes, curves, ink) {
  const { view } = lanes.app;
  const at = view.instant ?? view.to;
  curves.forEach(({ name, series }, i) => {
    const y = 7 + i * 14;
    context.strokeStyle = ink.tones[CURVE_TONES[i]];
    context.lineWidth = 2.5;
    context.setLineDash(DASHES[i]);
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(16, y);
    context.stroke();
    context.setLineDash([]);
    context.lineWidth = 1;
    context.fillStyle = ink.soft;
    context.fillText(shortened(context, name, lanes.left - 24), 20, y);
    const value = series.at(at);
    if (value !== undefined)
      label(context, ink, `${name} ${number(value)}`, lanes.left + 8 + i * 130, 10, lanes);
  });
}

function label(context, ink, text, x, y, lanes) {
  const width = context.measureText(text).width;
  if (x + width > lanes.canvas.width - RIGHT) return;
  context.globalAlpha = 0.75;
  context.fillStyle = ink.well;
  context.fillRect(x - 3, y - 8, width + 6, 16);
  context.globalAlpha = 1;
  context.fillStyle = ink.ink;
  context.fillText(text, x, y);
}

function shortened(context, text, width) {
  let shown = text;
  while (shown.length > 2 && context.measureText(shown).width > width)
    shown = `${shown.slice(0, -2)}…`;
  return shown;
}
