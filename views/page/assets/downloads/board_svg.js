// The loop as it is shown, as SVG: boxes, texts and arrows with their places and colours.

function boardSvg(board, background) {
  const origin = board.querySelector(".flow").getBoundingClientRect();
  const parts = [
    ...[...board.querySelectorAll(".phase")].filter(isDrawn).map((e) => boxSvg(e, origin)),
    ...[...board.querySelectorAll(".arrow")].filter(isDrawn).map((e) => arrowSvg(e, board, origin)),
    ...[...board.querySelectorAll(".name, .note, .change")]
      .filter(isDrawn)
      .map((e) => textSvg(e, origin)),
  ];
  return svgDocument(
    Math.ceil(origin.width),
    Math.ceil(origin.height),
    background,
    parts.join("\n"),
  );
}

function isDrawn(element) {
  return element.getClientRects().length > 0;
}

function boxSvg(element, origin) {
  const { left, top, width, height } = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  return (
    `<rect x="${round2(left - origin.left)}" y="${round2(top - origin.top)}" rx="8" ` +
    `width="${round2(width)}" height="${round2(height)}" opacity="${style.opacity}" ` +
    `fill="${plainColour(style.backgroundColor)}" stroke="${plainColour(style.borderTopColor)}"/>`
  );
}

function textSvg(element, origin) {
  const { left, top, height } = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const place = `x="${round2(left - origin.left)}" y="${round2(top - origin.top + height / 2)}"`;
  return (
    `<text ${place} dominant-baseline="central" font-size="${style.fontSize}" ` +
    `font-weight="${style.fontWeight}" fill="${plainColour(style.color)}" ` +
    `opacity="${getComputedStyle(element.parentElement).opacity}">` +
    `${escapeMarkup(element.textContent)}</text>`
  );
}

// Its paths and its count, moved from the frame's corner to the chart's.
function arrowSvg(group, board, origin) {
  const frame = board.querySelector(".arrows").getBoundingClientRect();
  const move = `translate(${round2(frame.left - origin.left)} ${round2(frame.top - origin.top)})`;
  const parts = [...group.querySelectorAll("path, text")].map((element) => {
    const style = getComputedStyle(element);
    if (element.tagName === "text")
      return (
        `<text x="${element.getAttribute("x")}" y="${element.getAttribute("y")}" ` +
        `text-anchor="${element.getAttribute("text-anchor")}" font-size="${style.fontSize}" ` +
        `font-weight="${style.fontWeight}" fill="${plainColour(style.fill)}" ` +
        `stroke="${plainColour(style.stroke)}" stroke-width="3" paint-order="stroke">` +
        `${escapeMarkup(element.textContent)}</text>`
      );
    const dash = style.strokeDasharray === "none" ? "" : style.strokeDasharray;
    return (
      `<path d="${element.getAttribute("d")}" fill="${plainColour(style.fill)}" ` +
      `stroke="${plainColour(style.stroke)}" stroke-width="${parseFloat(style.strokeWidth)}"` +
      `${dash ? ` stroke-dasharray="${dash}"` : ""}/>`
    );
  });
  const { opacity } = getComputedStyle(group);
  return `<g transform="${move}" opacity="${opacity}">${parts.join("")}</g>`;
}

// Colours such as `color-mix()` are not known to other programs.
function plainColour(colour) {
  if (colour === "none") return colour;
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
  return alpha === 255
    ? `rgb(${red},${green},${blue})`
    : `rgba(${red},${green},${blue},${round2(alpha / 255)})`;
}
