// Arrows between the boxes of the board: straight to the next one, in lanes of their own elsewhere.

// In units of the board's text.
const LANE_BELOW = 1.42;
const LANE_BESIDE = 2.17;

class Wires {
  constructor(edges) {
    this.element = document.createElementNS(SVG, "svg");
    this.element.classList.add("wires");
    this.element.setAttribute("aria-hidden", "true");
    this.edges = edges.map((edge) => this.edge(edge));
  }

  edge(edge) {
    const group = document.createElementNS(SVG, "g");
    group.setAttribute("class", `wire ${edge.kind}`);
    const parts = Object.fromEntries(["path", "text", "title"].map((tag) => [tag, document.createElementNS(SVG, tag)]));
    const head = document.createElementNS(SVG, "path");
    head.setAttribute("class", "head");
    parts.path.setAttribute("class", "line");
    parts.text.setAttribute("class", "count");
    group.dataset.rows = edge.rows.join(" ");
    group.append(parts.title, parts.path, head, parts.text);
    this.element.append(group);
    return { ...edge, name: [...new Set(edge.triggers)].join(", "), group, head, ...parts };
  }

  // Which arrows are straight, which need a lane.
  place(tree, boxes) {
    this.frames = new Map([tree, ...boxes.values()].filter((box) => box.children.length).map((box) => [box.path, box]));
    for (const edge of this.edges) {
      const order = this.frames.get(edge.frame).children.map((child) => child.path);
      const next = order.indexOf(edge.to) === order.indexOf(edge.from) + 1;
      const shared = this.edges.some((e) => e !== edge && e.from === edge.from && e.to === edge.to && e.kind === "normal");
      edge.straight = next && !(shared && edge.kind !== "normal");
      edge.used = edge.kind === "normal";
    }
    this.reserve();
  }

  // The room for the lanes of each scope. A cancel has its lane from the first time on.
  reserve() {
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

  route(boxes, place) {
    const origin = place.getBoundingClientRect();
    const em = parseFloat(getComputedStyle(place).fontSize);
    this.element.setAttribute("width", place.clientWidth);
    this.element.setAttribute("height", Math.max(place.clientHeight, place.scrollHeight));
    const at = (path) => rectOf(boxes.get(path).item, origin);
    for (const edge of this.edges) {
      const frame = this.frames.get(edge.frame);
      if (!edge.used || !boxes.has(edge.from) || !boxes.has(edge.to)) continue;
      this.draw(edge, wayOf(edge, frame, at(edge.from), at(edge.to), rectOf(frame.flow, origin), em));
    }
  }

  draw(edge, { points, label, anchor = "middle" }) {
    edge.path.setAttribute("d", rounded(points));
    edge.head.setAttribute("d", headOf(points.at(-2), points.at(-1)));
    edge.text.setAttribute("x", label[0]);
    edge.text.setAttribute("y", label[1]);
    edge.text.setAttribute("text-anchor", anchor);
  }

  // Whether an arrow was taken for the first time, so that there must be room for it.
  show(rows, warm, live) {
    const used = this.edges.filter((edge) => edge.used).length;
    for (const edge of this.edges) {
      const { group, rows: own, text } = edge;
      const n = own.reduce((sum, row) => sum + rows[row], 0);
      edge.used ||= n > 0;
      put(text, n ? short(n) : "");
      put(edge.title, `${edge.name}: ${count(n)}`);
      group.dataset.count = n;
      group.classList.toggle("never", !n);
      group.classList.toggle("warm", own.some((row) => warm[row] > 0));
      group.classList.toggle("taken", own.includes(live));
    }
    const grown = this.edges.filter((edge) => edge.used).length > used;
    if (grown) this.reserve();
    return grown;
  }
}

function short(n) {
  if (n < 1e4) return String(Math.round(n));
  return n < 1e6 ? `${Math.floor(n / 1e3)}k` : `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)}M`;
}

function rectOf(element, origin) {
  const box = element.getBoundingClientRect();
  const left = box.left - origin.left, top = box.top - origin.top;
  return { left, top, right: left + box.width, bottom: top + box.height, x: left + box.width / 2, y: top + box.height / 2, width: box.width, height: box.height };
}

// The corners of an arrow, and where its count stands.
function wayOf(edge, frame, from, to, flow, em) {
  const kind = frame.flow.dataset.flow;
  if (kind === "root") return rootWay(from, to);
  if (edge.straight) return kind === "row" ? acrossWay(from, to) : downWay(from, to);
  return kind === "row" ? belowWay(edge, frame, from, to, flow, em) : besideWay(edge, from, to, flow, em);
}

function acrossWay(from, to) {
  const y = from.height < to.height ? from.y : to.y;
  return { points: [[from.right, y], [to.left, y]], label: [(from.right + to.left) / 2 - 2, y - 5] };
}

function downWay(from, to) {
  const x = from.width < to.width ? from.x : to.x;
  return { points: [[x, from.bottom], [x, to.top]], label: [x + 7, (from.bottom + to.top) / 2 + 2], anchor: "start" };
}

// From the whole fit to where it rests, and back.
function rootWay(from, to) {
  if (from.top > to.top) return { points: [[to.x, from.top], [to.x, to.bottom]], label: [to.x + 7, (from.top + to.bottom) / 2 + 4], anchor: "start" };
  return { points: [[from.x, from.bottom], [from.x, to.top]], label: [from.x + 7, (from.bottom + to.top) / 2 + 4], anchor: "start" };
}

function belowWay(edge, frame, from, to, flow, em) {
  const dashed = edge.kind !== "normal";
  const lane = edge.lane + (dashed ? frame.lanes.normal : 0);
  const lanes = frame.lanes.normal + frame.lanes.cancel;
  const y = flow.bottom - em * (LANE_BELOW * (lanes - lane) - 0.75);
  const shift = 9 * lane;
  const start = from.width > 160 ? from.right - 24 - shift : from.x + 6 - shift / 2;
  const end = to.width > 160 ? to.left + 24 + shift : to.x - 6 + shift;
  return { points: [[start, from.bottom], [start, y], [end, y], [end, to.bottom]], label: [(start + end) / 2, y - 4] };
}

function besideWay(edge, from, to, flow, em) {
  const dashed = edge.kind !== "normal";
  const x = dashed ? flow.left + em * (LANE_BESIDE * (edge.lane + 0.62) - 0.67) : flow.right - em * (LANE_BESIDE * (edge.lane + 0.62) - 0.67);
  const side = dashed ? "left" : "right";
  const down = from.y < to.y;
  const start = from.height > 60 ? (down ? from.bottom - 12 - 7 * edge.lane : from.top + 12 + 7 * edge.lane) : from.y;
  const end = to.height > 60 ? (down ? to.top + 12 : to.top + 14 + 7 * edge.lane) : to.y + (dashed ? 4 : 4);
  return { points: [[from[side], start], [x, start], [x, end], [to[side], end]], label: [x + (dashed ? -5 : 5), (start + end) / 2 + 4], anchor: "middle" };
}

function rounded(points) {
  let path = `M${points[0].map(at).join(" ")}`;
  for (let i = 1; i < points.length - 1; i++) {
    const before = towards(points[i], points[i - 1]), after = towards(points[i], points[i + 1]);
    path += `L${before.map(at).join(" ")}Q${points[i].map(at).join(" ")} ${after.map(at).join(" ")}`;
  }
  return `${path}L${points.at(-1).map(at).join(" ")}`;
}

function towards([x, y], [tx, ty]) {
  const length = Math.hypot(tx - x, ty - y) || 1;
  const share = Math.min(6, length / 2) / length;
  return [x + (tx - x) * share, y + (ty - y) * share];
}

function headOf([x, y], [tx, ty]) {
  const angle = Math.atan2(ty - y, tx - x);
  const back = (turn) => [tx - 7 * Math.cos(angle + turn), ty - 7 * Math.sin(angle + turn)];
  return `M${at(tx)} ${at(ty)}L${back(0.45).map(at).join(" ")}L${back(-0.45).map(at).join(" ")}Z`;
}

function at(number) { return number.toFixed(1); }
