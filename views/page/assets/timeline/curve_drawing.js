// Curves of loss, learning rate and metrics, above the lanes.

const MOST_CURVES = 4;

function metricCurves(records) {
  const curves = [];
  records.table.scalars.forEach((entry, id) => {
    const series = records.events.scalars[id];
    if (series?.length) curves.push({ name: entry.name, series });
  });
  const order = ({ name }) => (name === "loss" ? 0 : name === "lr" ? 1 : /loss/.test(name) ? 2 : 3);
  return curves.sort((a, b) => order(a) - order(b)).slice(0, MOST_CURVES);
}

const CURVE_TONES = [0, 3, 5, 2];
const DASHES = [[], [6, 4], [2, 3], [9, 3, 2, 3]];

function drawCurves(context, lanes, colours) {
  const { curves, scale } = lanes;
  const right = lanes.canvas.width - RIGHT;
  if (!curves.length) return;
  context.fillStyle = colours.well;
  context.fillRect(lanes.left, 0, right - lanes.left, parts.curve);
  context.save();
  context.beginPath();
  context.rect(lanes.left, 0, right - lanes.left, parts.curve);
  context.clip();
  curves.forEach((curve, i) =>
    drawCurve(context, lanes, scale, curve, colours.tones[CURVE_TONES[i]], DASHES[i]),
  );
  context.restore();
  drawLegend(context, lanes, curves, colours);
}

// Where there are many points, only the lowest and the highest of each pixel are drawn.
function drawCurve(context, lanes, scale, { series }, colour, dash) {
  const first = Math.max(0, series.countUpTo(scale.from) - 1),
    last = Math.min(series.length, series.countUpTo(scale.to) + 1);
  const [low, high] = valueRange(series.values, first, last);
  const y = (value) => parts.curve - 6 - ((parts.curve - 12) * (value - low)) / (high - low || 1);
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
  if (last - first < 60) drawPoints(context, scale, series, first, last, y);
}

function drawPoints(context, scale, series, first, last, y) {
  for (let i = first; i < last; i++)
    context.fillRect(scale.x(series.times[i]) - 2, y(series.values[i]) - 2, 4, 4);
}

function valueRange(values, first, last) {
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

// The name of each curve with a sample of its line, and its value at the selected time.
function drawLegend(context, lanes, curves, colours) {
  const { view } = lanes.app;
  const at = view.instant ?? view.to;
  curves.forEach(({ name, series }, i) => {
    const y = ((i + 0.5) * parts.curve) / MOST_CURVES;
    context.strokeStyle = colours.tones[CURVE_TONES[i]];
    context.lineWidth = 2.5;
    context.setLineDash(DASHES[i]);
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(16, y);
    context.stroke();
    context.setLineDash([]);
    context.lineWidth = 1;
    context.fillStyle = colours.soft;
    context.fillText(truncateText(context, name, lanes.left - 24), 20, y);
    const value = series.valueAt(at);
    if (value !== undefined)
      drawLabel(
        context,
        colours,
        `${name} ${formatNumber(value)}`,
        lanes.left + 8 + i * 130,
        10,
        lanes,
      );
  });
}

function drawLabel(context, colours, text, x, y, lanes) {
  const width = context.measureText(text).width;
  if (x + width > lanes.canvas.width - RIGHT) return;
  context.globalAlpha = 0.75;
  context.fillStyle = colours.well;
  context.fillRect(x - 3, y - 8, width + 6, 16);
  context.globalAlpha = 1;
  context.fillStyle = colours.ink;
  context.fillText(text, x, y);
}

function truncateText(context, text, width) {
  let shown = text;
  while (shown.length > 2 && context.measureText(shown).width > width)
    shown = `${shown.slice(0, -2)}…`;
  return shown;
}
