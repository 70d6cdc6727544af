// For screen readers: what the sliders stand at, and news of the run, seldom.

const SELDOM = 15_000;

class Speech {
  constructor() {
    this.news = this.status = "";
    this.at = -Infinity;
  }

  show({ view, live, meta }) {
    const where = byId("where").textContent;
    slide(byId("lanes"), view, view.instant ?? view.to, `${where}, ${byId("path").textContent}`);
    const shown = `${range(view.from, view.to)} of ${instant(view.end)}`;
    slide(byId("overview"), view, view.to, shown);
    const epoch = live.epoch >= 0 ? `, epoch ${outOf(live.epoch, live.n_epochs)}` : "";
    this.say(live.status, `${meta.name}: ${live.status}${epoch}`);
  }

  // At once when the run stops or goes on, else now and then.
  say(status, news) {
    const early = status === this.status && performance.now() - this.at < SELDOM;
    if (news === this.news || early) return;
    Object.assign(this, { news, status, at: performance.now() });
    put(byId("spoken"), news);
  }
}

function slide(element, view, now, text) {
  const seconds = (time) => (time / SECOND).toFixed(3);
  element.setAttribute("aria-valuemin", seconds(view.first));
  element.setAttribute("aria-valuemax", seconds(view.end));
  element.setAttribute("aria-valuenow", seconds(now));
  element.setAttribute("aria-valuetext", text);
}
