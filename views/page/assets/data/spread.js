// Times with their spread over epochs: [epochs, lower quartile, median, upper quartile], or null.

// Whether the middle halves overlap: then the difference may be noise. Null: that is not known.
function mayBeNoise(a, b) {
  if (!a || !b) return null;
  return a[1] <= b[3] && b[1] <= a[3];
}

// `12.0 ms (11.0 to 13.0 ms)`: the median and the middle half.
function formatSpread(spread) {
  if (!spread) return "too few epochs";
  const [, low, median, high] = spread;
  return `${formatDuration(median)} (${formatDuration(low)} to ${formatDuration(high)})`;
}

// With a sign as well as a colour, for readers who cannot distinguish the colours. A difference
// within the spread is no difference; one whose spread is not known gets a question mark.
function relativeChange(before, after, isNoise = null) {
  if (!before || !after) return { text: before ? "gone" : after ? "new" : "", kind: "" };
  const share = after / before - 1;
  if (Math.abs(share) < 0.005) return { text: "same", kind: "" };
  if (isNoise) return { text: "≈ within spread", kind: "" };
  const text = `${share > 0 ? "▲ +" : "▼ −"}${(100 * Math.abs(share)).toFixed(0)} %`;
  if (isNoise === null) return { text: `${text} ?`, kind: "" };
  return { text, kind: share > 0.02 ? "slower" : share < -0.02 ? "faster" : "" };
}
