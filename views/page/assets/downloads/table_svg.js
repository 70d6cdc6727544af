// A table as it is shown, as SVG: each cell with its colour and its text.

function tableSvg(table, background) {
  table.parentElement.scrollLeft = 0; // a column that stays in view is at its place then
  const origin = table.getBoundingClientRect();
  const cells = [...table.querySelectorAll("th, td")].map((cell) => cellSvg(cell, origin));
  const [width, height] = [origin.width, origin.height].map(Math.ceil);
  return svgDocument(width, height, background, cells.join("\n"));
}

function cellSvg(cell, origin) {
  const { left, top, width, height } = cell.getBoundingClientRect();
  const style = getComputedStyle(cell);
  const [x, y] = [left - origin.left, top - origin.top].map(round2);
  return (
    `<rect x="${x}" y="${y}" width="${round2(width)}" height="${round2(height)}" rx="3" ` +
    `fill="${plainColour(style.backgroundColor)}"/>` +
    `<text x="${round2(x + width / 2)}" y="${round2(y + height / 2)}" text-anchor="middle" ` +
    `dominant-baseline="central" font-size="${style.fontSize}" ` +
    `font-weight="${style.fontWeight}" fill="${plainColour(style.color)}">` +
    `${escapeMarkup(shownText(cell, style, width - 8))}</text>`
  );
}

// As much of the text as fits into the cell.
function shownText(cell, style, width) {
  const ruler = document.createElement("canvas").getContext("2d");
  ruler.font = `${style.fontWeight} ${style.fontSize} system-ui, 'DejaVu Sans', sans-serif`;
  const text = cell.textContent;
  return ruler.measureText(text).width <= width ? text : truncateText(ruler, text, width);
}
