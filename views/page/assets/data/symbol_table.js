// What the ids in records mean: transitions, receivers, cancels, errors, scalars. It grows during
// the run.

const asList = (sources) => (typeof sources === "string" ? [sources] : sources);

const OTHERS = "others";
const UNNAMED_ENTRY = {
  trigger: "",
  source: "",
  path: "",
  row: -1,
  name: OTHERS,
  signal: "",
  module: OTHERS,
};

class SymbolTable {
  constructor(rows) {
    this.rows = rows.length;
    this.chart = rows;
    this.paths = [];
    this.transitions = [];
    this.receivers = [];
    this.cancels = [];
    this.errors = [];
    this.scalars = [];
    if (rows.length) this.leafIndex(asList(rows[0][1])[0]);
    for (const [, , destination] of rows) this.leafIndex(destination);
    this.describe();
  }

  get leaves() {
    return this.describedLeaves;
  }

  // The index of a leaf, which is added if it is new.
  leafIndex(path) {
    const known = this.paths.indexOf(path);
    return known >= 0 ? known : this.paths.push(path) - 1;
  }

  describe() {
    this.describedLeaves = describeLeaves(this.paths);
  }

  // Add entries, `[kind, id, …]`; an unknown kind is from a later version and is ignored. Returns
  // whether there are new transitions or receivers, for which the sums need columns.
  add(lines) {
    for (const [kind, id, ...fields] of lines) this[`add_${kind}`]?.(id, ...fields);
    if (!lines.some(([kind]) => kind === "transition" || kind === "receiver")) return false;
    if (this.describedLeaves.length !== this.paths.length) this.describe();
    for (const entries of [this.transitions, this.receivers]) this.fillHoles(entries);
    return true;
  }

  // Id 0 stands for all entries that did not fit into the table; it leads to no leaf.
  fillHoles(entries) {
    const nowhere = this.paths.length;
    for (let id = 0; id < entries.length; id++) {
      if (entries[id] && entries[id].name !== OTHERS) continue;
      entries[id] = { ...UNNAMED_ENTRY, leaf: nowhere, from: nowhere };
    }
  }

  add_transition(id, trigger, source, path, row) {
    this.transitions[id] = {
      trigger,
      source,
      path,
      row,
      leaf: this.leafIndex(path),
      from: this.leafIndex(source),
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
