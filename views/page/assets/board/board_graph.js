// The boxes and arrows of the board, computed from the rows of a chart. The `cancelled` leaf of a
// scope has no box: it is a dashed arrow to the phase where the loop continues.

const parentPath = (path) => path.split(".").slice(0, -1).join(".");
const isInside = (path, scope) => scope === "" || path === scope || path.startsWith(`${scope}.`);

// Triggers that go back, to a phase that a run without trouble never enters.
const RECOVERIES = ["begin_retry", "begin_rollback"];

function triggerKind(trigger) {
  if (trigger === "after_error") return "error";
  if (RECOVERIES.includes(trigger)) return "recovery";
  return trigger.startsWith("after_cancel_") ? "cancel" : "normal";
}

// What leaves the destination of a recovery belongs to the recovery, too.
function edgeKind(rows, trigger, source) {
  const recovers = ([name, , to]) => to === source && RECOVERIES.includes(name);
  return rows.some(recovers) ? "recovery" : triggerKind(trigger);
}

// Leaves inside a scope that no normal row leads to, and that only the end of the scope leaves.
function hiddenLeaves(rows) {
  const kindsInto = new Map();
  for (const [trigger, , to] of rows)
    kindsInto.set(to, [...(kindsInto.get(to) ?? []), triggerKind(trigger)]);
  const ends = ([to, kinds]) =>
    to.includes(".") &&
    !kinds.includes("normal") &&
    rows.every(([name, from]) => !asList(from).includes(to) || name === afterScope(to));
  return new Set([...kindsInto].filter(ends).map(([to]) => to));
}

// The trigger that ends the scope around a leaf.
const afterScope = (leaf) => `after_${parentPath(leaf).split(".").pop()}`;

// The destination of `trigger` from a leaf; the row of the innermost phase applies.
function destinationOf(rows, leaf, trigger) {
  for (let phase = leaf; phase; phase = parentPath(phase)) {
    const row = rows.find(([name, from]) => name === trigger && asList(from).includes(phase));
    if (row) return row[2];
  }
  return null;
}

function boardEdges(rows) {
  const hidden = hiddenLeaves(rows);
  const initial = asList(rows[0][1])[0];
  const edges = new Map();
  rows.forEach(([trigger, from, to], row) => {
    for (const source of asList(from)) {
      const end = hidden.has(to) ? destinationOf(rows, to, afterScope(to)) : to;
      const isTerminal =
        !source.includes(".") && source !== initial && !isInside(end ?? "", source);
      if (hidden.has(source) || end === null || (isTerminal && isDestination(rows, source)))
        continue;
      const edge = liftEdge(source, end, edgeKind(rows, trigger, source));
      const key = `${edge.from} ${edge.to} ${edge.kind}`;
      if (!edges.has(key)) edges.set(key, { ...edge, rows: [], triggers: [] });
      edges.get(key).rows.push(row);
      edges.get(key).triggers.push(trigger);
    }
  });
  return [...edges.values()];
}

function isDestination(rows, path) {
  return rows.some(([, , to]) => to === path);
}

// Lift both ends to the innermost scope around them, the frame: the arrow goes from one of its
// children to another, or from the scope itself to a child.
function liftEdge(source, end, kind) {
  const inward = isInside(end, source) && end !== source;
  let frame = inward ? source : parentPath(source);
  while (!(isInside(end, frame) && frame !== end)) frame = parentPath(frame);
  const child = (path) =>
    path
      .split(".")
      .slice(0, frame ? frame.split(".").length + 1 : 1)
      .join(".");
  return { frame, from: inward ? source : child(source), to: child(end), kind };
}

// The boxes as a tree. A scope whose only leaf is `run` becomes one box.
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
  root.children.sort((a, b) => terminalOrder(a) - terminalOrder(b));
  for (const box of boxes.values()) {
    const [only] = box.children;
    if (box.children.length === 1 && only.path === `${box.path}.run`)
      Object.assign(box, { children: [], leaf: only.path });
  }
  return root;
}

function nestingDepth(box) {
  return box.children.length ? 1 + Math.max(...box.children.map(nestingDepth)) : 0;
}

// Terminal phases come last, in the order completed, cancelled, failed.
function terminalOrder({ name, children }) {
  return children.length ? 0 : ["completed", "cancelled", "failed"].indexOf(name);
}
