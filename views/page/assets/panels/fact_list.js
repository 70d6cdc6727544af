// The facts of the run that is shown: where, when and from what it was made.

class FactList {
  constructor(place) {
    this.place = place;
  }

  // `facts` are texts by joined names; a group for each first part of a name.
  show(facts, meta) {
    const all = { ...facts, "process.pid": String(meta.pid), "process.host": meta.host };
    const key = JSON.stringify(all);
    if (key === this.key) return;
    this.key = key;
    const groups = new Map();
    for (const [name, text] of Object.entries(all)) {
      const group = name.includes(".") ? name.split(".")[0] : "run";
      groups.set(group, [
        ...(groups.get(group) ?? []),
        [name.split(".").slice(1).join(".") || name, text],
      ]);
    }
    this.place.replaceChildren(...[...groups].map(([name, lines]) => this.group(name, lines)));
  }

  group(name, lines) {
    const group = newElement("section", "facts-group");
    const list = newElement("dl");
    for (const [fact, text] of lines)
      list.append(newElement("dt", "", fact), newElement("dd", "", text));
    group.append(newElement("h3", "", name), list);
    return group;
  }
}
