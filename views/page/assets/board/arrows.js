// Arrows between the boxes of the board: straight to the next box, otherwise through a lane.

class Arrows {
  constructor(edges) {
    this.element = document.createElementNS(SVG, "svg");
    this.element.classList.add("arrows");
    this.element.setAttribute("aria-hidden", "true");
    this.edges = edges.map((edge) => this.createArrow(edge));
  }

  createArrow(edge) {
    const group = document.createElementNS(SVG, "g");
    group.setAttribute("class", `arrow ${edge.kind}`);
    const parts = Object.fromEntries(
      ["path", "text", "title"].map((tag) => [tag, document.createElementNS(SVG, tag)]),
    );
    const head = document.createElementNS(SVG, "path");
    head.setAttribute("class", "head");
    parts.path.setAttribute("class", "line");
    parts.text.setAttribute("class", "count");
    group.dataset.rows = edge.rows.join(" ");
    group.append(parts.title, parts.path, head, parts.text);
    this.element.append(group);
    return { ...edge, name: [...new Set(edge.triggers)].join(", "), group, head, ...parts };
  }

  // Decide which arrows are straight and which need a lane.
  plan(tree, boxes) {
    this.frames = new Map(
      [tree, ...boxes.values()].filter((box) => box.children.length).map((box) => [box.path, box]),
    );
    const isDrawn = (edge) => this.frames.has(edge.frame);
    for (const { group } of this.edges.filter((edge) => !isDrawn(edge))) group.remove();
    this.edges = this.edges.filter(isDrawn);
    for (const edge of this.edges) {
      const order = this.frames.get(edge.frame).children.map((child) => child.path);
      const inward = edge.from === edge.frame;
      const next = inward || order.indexOf(edge.to) === order.indexOf(edge.from) + 1;
      const shared = this.edges.some(
        (e) => e !== edge && e.from === edge.from && e.to === edge.to && e.kind === "normal",
      );
      edge.straight = next && !(shared && edge.kind !== "normal");
      edge.used = edge.kind === "normal";
    }
    this.reserveLanes();
  }

  // Make room for the lanes of each scope. A cancel's arrow gets its lane when it is first taken.
  reserveLanes() {
    for (const frame of this.frames.values()) {
      const lanes = { normal: 0, cancel: 0 };
      for (const edge of this.edges) {
        edge.group.classList.toggle("unused", !edge.used);
        if (edge.frame !== frame.path || edge.straight || !edge.used || !frame.path) continue;
        edge.lane = lanes[edge.kind === "normal" ? "normal" : "cancel"]++;
      }
      frame.flow.style.setProperty("--solid-lanes", lanes.normal);
      frame.flow.style.setProperty("--dashed-lanes", lanes.cancel);
      frame.lanes = lanes;
    }
  }

  // Draw the arrows to where the boxes are now.
  route(boxes, place) {
    const origin = place.getBoundingClientRect();
    const em = parseFloat(getComputedStyle(place).fontSize);
    this.element.setAttribute("width", place.clientWidth);
    this.element.setAttribute("height", place.querySelector(".flow").offsetHeight);
    const at = (path) => relativeRect(boxes.get(path).item, origin);
    for (const edge of this.edges) {
      const frame = this.frames.get(edge.frame);
      if (!edge.used || !boxes.has(edge.from) || !boxes.has(edge.to)) continue;
      this.draw(
        edge,
        arrowPath(edge, frame, at(edge.from), at(edge.to), relativeRect(frame.flow, origin), em),
      );
    }
  }

  draw(edge, { points, label, anchor = "middle" }) {
    edge.path.setAttribute("d", roundedPath(points));
    edge.head.setAttribute("d", arrowHead(points.at(-2), points.at(-1)));
    edge.text.setAttribute("x", label[0]);
    edge.text.setAttribute("y", label[1]);
    edge.text.setAttribute("text-anchor", anchor);
  }

  // Returns whether an arrow was taken for the first time, so that it needs room.
  show(rows, recentRows, liveRow) {
    const used = this.edges.filter((edge) => edge.used).length;
    for (const edge of this.edges) {
      const { group, rows: own, text } = edge;
      const n = own.reduce((sum, row) => sum + rows[row], 0);
      edge.used ||= n > 0;
      setText(text, n ? formatShortCount(n) : "");
      setText(edge.title, `${edge.name}: ${formatCount(n)}`);
      group.dataset.count = n;
      group.classList.toggle("never", !n);
      group.classList.toggle(
        "recent",
        own.some((row) => recentRows[row] > 0),
      );
      group.classList.toggle("taken", own.includes(liveRow));
    }
    const grown = this.edges.filter((edge) => edge.used).length > used;
    if (grown) this.reserveLanes();
    return grown;
  }
}

function formatShortCount(n) {
  if (n < 1e4) return String(Math.round(n));
  return n < 1e6 ? `${Math.floor(n / 1e3)}k` : `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)}M`;
}

// The rectangle of an element, with its centre, relative to `origin`.
function relativeRect(element, origin) {
  const box = element.getBoundingClientRect();
  const left = box.left - origin.left,
    top = box.top - origin.top;
  return {
    left,
    top,
    right: left + box.width,
    bottom: top + box.height,
    x: left + box.width / 2,
    y: top + box.height / 2,
    width: box.width,
    height: box.height,
  };
}
