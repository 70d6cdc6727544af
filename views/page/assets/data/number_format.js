// Numbers and times as text for people. Times are in nanoseconds.

const SECOND = 1e9;

function formatDuration(ns) {
  const size = Math.abs(ns);
  if (size < 1e3) return `${Math.round(ns)} ns`;
  if (size < 999.5e3) return `${threeDigits(ns / 1e3)} µs`;
  if (size < 999.5e6) return `${threeDigits(ns / 1e6)} ms`;
  if (size < 120e9) return `${(ns / 1e9).toFixed(2)} s`;
  const minutes = Math.floor(ns / 60e9);
  if (minutes < 120) return `${minutes} min ${Math.floor((ns / 1e9) % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function threeDigits(value) {
  const size = Math.abs(value);
  return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

// A time since the start of the run, with the decimals that a step of `resolution` ns needs.
function formatTime(ns, resolution = 1e7) {
  const decimals = Math.min(9, Math.max(0, Math.ceil(9 - Math.log10(resolution))));
  if (Math.abs(ns) < 120e9) return `${(ns / SECOND).toFixed(decimals)} s`;
  const whole = Math.floor(ns / 60e9);
  const seconds = ((ns - whole * 60e9) / SECOND)
    .toFixed(decimals)
    .padStart(decimals ? decimals + 3 : 2, "0");
  if (whole < 60) return `${whole}:${seconds}`;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}:${seconds}`;
}

function formatRange(from, to) {
  return `${formatTime(from, (to - from) / 100)} to ${formatTime(to, (to - from) / 100)}`;
}

function formatPercent(share) {
  if (!(share > 0)) return "0 %";
  return share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

function formatCount(n) {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

function formatNumber(value) {
  if (value === undefined || value === null) return "–";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
  return value
    .toPrecision(4)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");
}

function formatRate(perSecond) {
  if (!(perSecond > 0)) return "–";
  return perSecond >= 100 ? formatCount(perSecond) : perSecond.toPrecision(perSecond < 1 ? 2 : 3);
}

// The index is 0-based in the recording; people count from 1.
function formatProgress(index, n) {
  if (index === null || index < 0) return "–";
  return n === null || n === undefined
    ? formatCount(index + 1)
    : `${formatCount(index + 1)} / ${formatCount(n)}`;
}

// `fit.epoch.train` as `fit › epoch › train`.
function breadcrumbs(path) {
  return path
    .replace(/\.run$/, "")
    .split(".")
    .join(" › ");
}
