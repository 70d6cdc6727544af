// For screen readers: the values of the sliders, and the run's status, rarely.

const MIN_INTERVAL = 15_000;

class Announcer {
  constructor() {
    this.news = this.status = "";
    this.at = -Infinity;
  }

  show({ view, live, meta }) {
    const where = byId("where").textContent;
    updateSlider(
      byId("lanes"),
      view,
      view.instant ?? view.to,
      `${where}, ${byId("path").textContent}`,
    );
    const shown = `${formatRange(view.from, view.to)} of ${formatTime(view.end)}`;
    updateSlider(byId("overview"), view, view.to, shown);
    const epoch = live.epoch >= 0 ? `, epoch ${formatProgress(live.epoch, live.n_epochs)}` : "";
    this.announce(live.status, `${meta.name}: ${live.status}${epoch}`);
  }

  // At once when the status changes, otherwise at most every MIN_INTERVAL milliseconds.
  announce(status, news) {
    const early = status === this.status && performance.now() - this.at < MIN_INTERVAL;
    if (news === this.news || early) return;
    Object.assign(this, { news, status, at: performance.now() });
    setText(byId("spoken"), news);
  }
}

function updateSlider(element, view, now, text) {
  const seconds = (time) => (time / SECOND).toFixed(3);
  element.setAttribute("aria-valuemin", seconds(view.first));
  element.setAttribute("aria-valuemax", seconds(view.end));
  element.setAttribute("aria-valuenow", seconds(now));
  element.setAttribute("aria-valuetext", text);
}
