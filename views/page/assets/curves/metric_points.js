// The points of a metric, as its picture shows them: over steps, epochs or time, smoothed.

const X_AXES = {
  step: { unit: "step", of: (series, i) => series.steps[i] },
  epoch: { unit: "epoch", of: (series, i) => series.epochs[i] + 1 },
  time: { unit: "s", of: (series, i) => series.times[i] / SECOND },
};

// [x, y] of each value. What lies at one x, such as all losses of an epoch, is their mean. `odd`
// are those that are no numbers: NaN, infinite.
function metricPoints(series, axis) {
  const xs = [],
    ys = [],
    odd = { xs: [], ys: [] };
  let count = 0;
  for (let i = 0; i < series.length; i++) {
    const x = axis.of(series, i),
      y = series.values[i];
    if (!Number.isFinite(y)) {
      odd.xs.push(x);
      odd.ys.push(y);
      continue;
    }
    if (xs.length && xs.at(-1) === x) {
      ys[ys.length - 1] += (y - ys.at(-1)) / ++count;
      continue;
    }
    xs.push(x);
    ys.push(y);
    count = 1;
  }
  return { xs, ys, odd };
}

// The same of points of another run: [time, epoch, step, value] each.
function overlaidPoints(points, axis, weight) {
  const column = (at) => points.map((point) => point[at]);
  const series = { length: points.length, times: column(0), epochs: column(1), steps: column(2) };
  const { xs, ys } = metricPoints({ ...series, values: column(3) }, axis);
  return { xs, ys, mean: weight > 0 ? smoothed(ys, weight) : ys };
}

// Exponential mean, corrected for its beginning; `weight` is that of the past, from 0 to below 1.
function smoothed(ys, weight) {
  let mean = 0,
    share = 0;
  return ys.map((y) => {
    mean = weight * mean + (1 - weight) * y;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

// The index of the x that is nearest to `at`; `xs` is sorted.
function nearestIndex(xs, at) {
  let low = 0,
    high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (xs[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - xs[low - 1] < xs[low] - at ? low - 1 : low;
}

// Round values for an axis, at most about `most`.
function axisTicks(low, high, most, least = 0) {
  const rough = Math.max((high - low) / most, least, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const values = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++)
    if (values.push(n * step) > 2 * most) break;
  return values;
}

// Ticks of a logarithmic axis whose ends are exponents: powers of ten, or a few between two.
function logTicks(low, high) {
  const powers = [];
  for (let n = Math.ceil(low); n <= high; n++) powers.push(n);
  if (powers.length >= 2) return powers.filter((_, i) => i % Math.ceil(powers.length / 6) === 0);
  return axisTicks(10 ** low, 10 ** high, 4)
    .filter((v) => v > 0)
    .map(Math.log10);
}
