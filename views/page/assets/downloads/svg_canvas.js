// Draws what a Canvas draws as SVG: the same methods, as far as the pictures of the page use them.

const SVG_FONT = "12px system-ui, 'DejaVu Sans', sans-serif";

class SvgCanvas {
  constructor(width, height) {
    Object.assign(this, { width, height });
    this.context = new SvgContext();
  }

  resize(height) {
    this.height = height;
    return false;
  }

  clear() {
    this.context = new SvgContext();
    return this.context;
  }

  text(background) {
    return svgDocument(this.width, this.height, background, this.context.parts.join("\n"));
  }
}

function svgDocument(width, height, background, content) {
  return (
    `<svg xmlns="${SVG}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, 'DejaVu Sans', sans-serif">\n` +
    `<rect width="${width}" height="${height}" fill="${background}"/>\n${content}\n</svg>\n`
  );
}

function escapeMarkup(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (letter) => names[letter]);
}

class SvgContext {
  constructor() {
    Object.assign(this, { parts: [], path: "", dash: [], clips: 0, open: 0, saved: [] });
    Object.assign(this, { lineWidth: 1, globalAlpha: 1, textAlign: "start" });
    this.ruler = document.createElement("canvas").getContext("2d");
    this.ruler.font = SVG_FONT;
  }

  add(tag, attributes, content = "") {
    const all = { ...attributes, opacity: this.globalAlpha === 1 ? undefined : this.globalAlpha };
    const text = Object.entries(all)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => ` ${name}="${typeof value === "number" ? round2(value) : value}"`)
      .join("");
    this.parts.push(`<${tag}${text}>${content}</${tag}>`);
  }

  beginPath() {
    this.path = "";
  }
  moveTo(x, y) {
    this.path += `M${round2(x)} ${round2(y)}`;
  }
  lineTo(x, y) {
    this.path += `${this.path ? "L" : "M"}${round2(x)} ${round2(y)}`;
  }
  rect(x, y, width, height) {
    this.path += `M${x} ${y}h${width}v${height}h${-width}Z`;
  }
  setLineDash(dash) {
    this.dash = dash;
  }

  get stroked() {
    return {
      fill: "none",
      stroke: this.strokeStyle,
      "stroke-width": this.lineWidth,
      "stroke-dasharray": this.dash.length ? this.dash.join(" ") : undefined,
    };
  }
  stroke() {
    if (this.path) this.add("path", { d: this.path, ...this.stroked });
  }
  fill() {
    this.add("path", { d: `${this.path}Z`, fill: this.fillStyle });
  }
  fillRect(x, y, width, height) {
    if (width > 0 && height > 0) this.add("rect", { x, y, width, height, fill: this.fillStyle });
  }
  strokeRect(x, y, width, height) {
    this.add("rect", { x, y, width, height, ...this.stroked });
  }

  fillText(text, x, y) {
    const anchor = { right: "end", center: "middle" }[this.textAlign];
    const place = { x, y, "text-anchor": anchor, "dominant-baseline": "central", "font-size": 12 };
    this.add("text", { ...place, fill: this.fillStyle }, escapeMarkup(text));
  }
  measureText(text) {
    return this.ruler.measureText(text);
  }

  // A group for each clip, which `restore` closes.
  save() {
    this.saved.push(this.open);
  }
  clip() {
    const id = `clip${this.clips++}`;
    this.parts.push(`<clipPath id="${id}"><path d="${this.path}"/></clipPath>`);
    this.parts.push(`<g clip-path="url(#${id})">`);
    this.open += 1;
  }
  restore() {
    for (const before = this.saved.pop(); this.open > before; this.open--) this.parts.push("</g>");
  }
}

function round2(value) {
  return Math.round(100 * value) / 100;
}
