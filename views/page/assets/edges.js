// From the rows of a chart to the boxes and arrows of the board: a scope that was cancelled or
// failed is left at once there, so its `cancelled` leaf is an arrow, dashed, to where the loop goes
// on.

const parent = (path) => path.split(".").slice(0, -1).join(".");
const within = (path, scope) => scope === "" || path === scope || path.startsWith(`${scope}.`);

function kindOf(trigger) {
  if (trigger === "after_error") return "error";
  return trigger.startsWith("after_cancel_") ? "cancel" : "normal";
}

// Leaves that only a cancel or an error inside of a scope leads to.
function hiddenLeaves(rows) {
  const ways = new Map();
  for (const [trigger, , to] of rows) ways.set(to, [...(ways.get(to) ?? []), kindOf(trigger)]);
  return new Set(
    [...ways]
      .filter(([to, kinds]) => to.includes(".") && !kinds.includes("normal"))
      .map(([to]) => to),
  );
}

// Where `trigger` leads from a leaf: by the row of the innermost phase around it.
function exitOf(rows, leaf, trigger) {
  for (let phase = leaf; phase; phase = parent(phase)) {
    const row = rows.find(([name, from]) => name === trigger && list(from).includes(phase));
    if (row) return row[2];
  }
  return null;
}

function boardEdges(rows) {
  const hidden = hiddenLeaves(rows);
  const initial = list(rows[0][1])[0];
  const edges = new Map();
  rows.forEach(([trigger, from, to], row) => {
    for (const source of list(from)) {
      const end = hidden.has(to) ? exitOf(rows, to, `after_${parent(to).split(".").pop()}`) : to;
      const rests = !source.includes(".") && source !== initial && !within(end ?? "", source);
      if (hidden.has(source) || end === null || (rests && isRest(rows, source))) continue;
      const edge = lifted(source, end, kindOf(trigger));
      const key = `${edge.from} ${edge.to} ${edge.kind}`;
      if (!edges.has(key)) edges.set(key, { ...edge, rows: [], triggers: [] });
      edges.get(key).rows.push(row);
      edges.get(key).triggers.push(trigger);
    }
  });
  return [...edges.values()];
}

function isRest(rows, path) {
  return rows.some(([, , to]) => to === path);
}

// Seen from the innermost scope around both ends: from one of its children to another, or from the
// scope itself.
function lifted(source, end, kind) {
  const inward = within(end, source) && end !== source;
  let frame = inward ? source : parent(source);
  while (!(within(end, frame) && frame !== end)) frame = parent(frame);
  const child = (path) =>
    path
      .split(".")
      .slice(0, frame ? frame.split(".").length + 1 : 1)
      .join(".");
  return { frame, from: inward ? source : child(source), to: child(end), kind };
}

// The boxes as a tree; a scope of one leaf `run` is drawn as that leaf.
function boardTree(paths, hidden) {
  const root = { path: "", name: "", children: [] };
  const boxes = new Map([["", root]]);
  for (const path of paths.filter((p) => !hidden.has(p))) {
    const parts = path.split(".");
    parts.forEach((name, i) => {
      const here = parts.slice(0, i + 1).join(".");
      if (boxes.has(here)) return;
      const box = { path: here, name, children: [] };
      boxes.set(here, box);
      boxes.get(parts.slice(0, i).join(".")).children.push(box);
    });
  }
  root.children.sort((a, b) => restOrder(a) - restOrder(b));
  for (const box of boxes.values()) {
    const [only] = box.children;
    if (box.children.length === 1 && only.path === `${box.path}.run`)
      Object.assign(box, { children: [], leaf: only.path });
  }
  return root;
}

function heightOf(box) {
  return box.children.length ? 1 + Math.max(...box.children.map(heightOf)) : 0;
}

// Where a run rests comes last: as it should end first.
function restOrder({ name, children }) {
  return children.length ? 0 : ["completed", "cancelled", "failed"].indexOf(name);
}
