// What the ids in records stand for. It grows while the run makes what it has not made before.

const list = (sources) => (typeof sources === "string" ? [sources] : sources);

const UNNAMED = "others";
const HOLE = {
  trigger: "",
  source: "",
  path: "",
  row: -1,
  name: UNNAMED,
  signal: "",
  module: UNNAMED,
};

class Names {
  constructor(rows) {
    this.rows = rows.length;
    this.chart = rows;
    this.paths = [];
    this.transitions = [];
    this.receivers = [];
    this.cancels = [];
    this.errors = [];
    this.scalars = [];
    if (rows.length) this.leaf(list(rows[0][1])[0]);
    for (const [, , destination] of rows) this.leaf(destination);
    this.describe();
  }

  get leaves() {
    return this.described;
  }

  leaf(path) {
    const known = this.paths.indexOf(path);
    return known >= 0 ? known : this.paths.push(path) - 1;
  }

  describe() {
    this.described = describeLeaves(this.paths);
  }

  // Lines of the table, `[kind, id, …]`; an unknown kind is of a later version and left alone.
  // Whether there are new transitions or receivers, which sums have columns for.
  add(lines) {
    for (const [kind, id, ...what] of lines) this[`add_${kind}`]?.(id, ...what);
    if (!lines.some(([kind]) => kind === "transition" || kind === "receiver")) return false;
    if (this.described.length !== this.paths.length) this.describe();
    for (const entries of [this.transitions, this.receivers]) this.fillHoles(entries);
    return true;
  }

  // Id 0 is what the table had no room for; it leads nowhere.
  fillHoles(entries) {
    const nowhere = this.paths.length;
    for (let id = 0; id < entries.length; id++) {
      if (entries[id] && entries[id].name !== UNNAMED) continue;
      entries[id] = { ...HOLE, leaf: nowhere, from: nowhere };
    }
  }

  add_transition(id, trigger, source, path, row) {
    this.transitions[id] = {
      trigger,
      source,
      path,
      row,
      leaf: this.leaf(path),
      from: this.leaf(source),
    };
  }

  add_receiver(id, name, signal, module) {
    this.receivers[id] = { name, signal, module };
  }
  add_scalar(id, name) {
    this.scalars[id] = { name };
  }

  add_cancel(id, type, reason, by, at) {
    const scope = type.replace(/^Cancel|Exception$/g, "").toLowerCase();
    this.cancels[id] = { text: reason ? `${scope}: ${reason}` : scope, by, at: breadcrumbs(at) };
  }

  add_error(id, type, text) {
    this.errors[id] = { text: text ? `${type}: ${text}` : type, by: "", at: "" };
  }
}
