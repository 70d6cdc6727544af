// What the large card shows: the loop, the curves, the pictures, the runs or the facts.

const VIEWS = ["loop", "curves", "pictures", "runs", "facts"];

class ViewSwitch {
  constructor(onChange) {
    this.shown = VIEWS[0];
    this.onChange = onChange;
    for (const name of VIEWS) byId(`show-${name}`).addEventListener("click", () => this.show(name));
  }

  show(name) {
    this.shown = name;
    for (const view of VIEWS) {
      byId(`${view}-card`).hidden = view !== name;
      byId(`show-${view}`).setAttribute("aria-pressed", String(view === name));
    }
    this.onChange(name);
  }

  // That view, or the loop if it is shown already.
  toggle(name) {
    this.show(this.shown === name ? VIEWS[0] : name);
  }
}
