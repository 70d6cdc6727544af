// The paths of the arrows on the board, and where their counts are.

// Widths of a lane for arrows, in em of the board.
const LANE_BELOW = 1.42;
const LANE_BESIDE = 2.17;

// The corners of an arrow, and the place of its count.
function arrowPath(edge, frame, from, to, flow, em) {
  const kind = frame.flow.dataset.flow;
  if (kind === "root") return rootPath(from, to);
  if (edge.from === edge.frame) return inwardPath(kind, from, to, em);
  if (edge.straight) return kind === "row" ? acrossPath(from, to) : downPath(from, to);
  return kind === "row"
    ? belowPath(edge, frame, from, to, flow, em)
    : besidePath(edge, from, to, flow, em);
}

// From the border of a scope to a phase in it.
function inwardPath(kind, scope, to, em) {
  if (kind === "row") {
    const x = to.x + em;
    return {
      points: [
        [x, scope.bottom],
        [x, to.bottom],
      ],
      label: [x + 4, to.bottom + em],
      anchor: "start",
    };
  }
  const y = to.bottom - 0.7 * em;
  return {
    points: [
      [scope.right, y],
      [to.right, y],
    ],
    label: [scope.right - 2 * em, y - 4],
  };
}

function acrossPath(from, to) {
  const y = from.height < to.height ? from.y : to.y;
  return {
    points: [
      [from.right, y],
      [to.left, y],
    ],
    label: [(from.right + to.left) / 2 - 2, y - 5],
  };
}

function downPath(from, to) {
  const x = from.width < to.width ? from.x : to.x;
  return {
    points: [
      [x, from.bottom],
      [x, to.top],
    ],
    label: [x + 7, (from.bottom + to.top) / 2 + 2],
    anchor: "start",
  };
}

// From the whole fit to a terminal phase, and back.
function rootPath(from, to) {
  if (from.top > to.top)
    return {
      points: [
        [to.x, from.top],
        [to.x, to.bottom],
      ],
      label: [to.x + 7, (from.top + to.bottom) / 2 + 4],
      anchor: "start",
    };
  return {
    points: [
      [from.x, from.bottom],
      [from.x, to.top],
    ],
    label: [from.x + 7, (from.bottom + to.top) / 2 + 4],
    anchor: "start",
  };
}

function belowPath(edge, frame, from, to, flow, em) {
  const dashed = edge.kind !== "normal";
  const lane = edge.lane + (dashed ? frame.lanes.normal : 0);
  const lanes = frame.lanes.normal + frame.lanes.cancel;
  const y = flow.bottom - em * (LANE_BELOW * (lanes - lane) - 0.75);
  const shift = 9 * lane;
  const start = from.width > 160 ? from.right - 24 - shift : from.x + 6 - shift / 2;
  const end = to.width > 160 ? to.left + 24 + shift : to.x - 6 + shift;
  return {
    points: [
      [start, from.bottom],
      [start, y],
      [end, y],
      [end, to.bottom],
    ],
    label: [(start + end) / 2, y - 4],
  };
}

function besidePath(edge, from, to, flow, em) {
  const dashed = edge.kind !== "normal";
  const x = dashed
    ? flow.left + em * (LANE_BESIDE * (edge.lane + 0.62) - 0.67)
    : flow.right - em * (LANE_BESIDE * (edge.lane + 0.62) - 0.67);
  const side = dashed ? "left" : "right";
  const down = from.y < to.y;
  const start =
    from.height > 60
      ? down
        ? from.bottom - 12 - 7 * edge.lane
        : from.top + 12 + 7 * edge.lane
      : from.y;
  const end = to.height > 60 ? (down ? to.top + 12 : to.top + 14 + 7 * edge.lane) : to.y + 4;
  return {
    points: [
      [from[side], start],
      [x, start],
      [x, end],
      [to[side], end],
    ],
    label: [x + (dashed ? 5 : -5), (start + end) / 2 + 4],
    anchor: dashed ? "start" : "end",
  };
}

// An SVG path through the points, with rounded corners.
function roundedPath(points) {
  let path = `M${points[0].map(oneDecimal).join(" ")}`;
  for (let i = 1; i < points.length - 1; i++) {
    const before = pointTowards(points[i], points[i - 1]),
      after = pointTowards(points[i], points[i + 1]);
    const [start, corner, end] = [before, points[i], after].map((point) =>
      point.map(oneDecimal).join(" "),
    );
    path += `L${start}Q${corner} ${end}`;
  }
  return `${path}L${points.at(-1).map(oneDecimal).join(" ")}`;
}

// A point near the first one, on the line to the second.
function pointTowards([x, y], [tx, ty]) {
  const length = Math.hypot(tx - x, ty - y) || 1;
  const share = Math.min(6, length / 2) / length;
  return [x + (tx - x) * share, y + (ty - y) * share];
}

// A triangle at the end of a line.
function arrowHead([x, y], [tx, ty]) {
  const angle = Math.atan2(ty - y, tx - x);
  const back = (turn) => [tx - 7 * Math.cos(angle + turn), ty - 7 * Math.sin(angle + turn)];
  const corners = [[tx, ty], back(0.45), back(-0.45)];
  return `M${corners.map((point) => point.map(oneDecimal).join(" ")).join("L")}Z`;
}

function oneDecimal(number) {
  return number.toFixed(1);
}
