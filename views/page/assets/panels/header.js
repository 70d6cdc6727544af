// The top of the page: the run, its phase, progress and speed; an alarm if it is stuck or died.

const STATS = [
  ...["epoch", "batch", "step", "left", "rate", "loss", "lr"],
  ...["elapsed", "cancels", "transitions"],
];

class Header {
  constructor() {
    this.values = new Map();
    const stats = byId("stats");
    stats.replaceChildren();
    for (const name of STATS) {
      const pair = newElement("div"),
        value = newElement("dd");
      pair.append(newElement("dt", "", name), value);
      stats.append(pair);
      this.values.set(name, value);
    }
  }

  show(stats, place) {
    for (const [name, value] of this.values) {
      setText(value, stats[name] ?? "–");
      keepWidth(value);
      value.parentElement.hidden = stats[name] === undefined;
    }
    setText(byId("path"), place.label);
    byId("pill").dataset.status = place.status;
    byId("pill").title = place.label;
  }
}

// As wide as the longest text so far, so that what follows does not move when a number grows.
function keepWidth(element) {
  const longest = Math.max(element.textContent.length, element.longest ?? 0);
  if (longest === element.longest) return;
  element.longest = longest;
  element.style.minWidth = `${longest}ch`;
}

function headerStats(app, totals) {
  const { view, records, live } = app;
  const state = records.stateAt(Math.min(totals.until, records.last));
  const [epoch, batch] = view.follow ? [live.epoch, live.batch] : [state.epoch, state.batch];
  const scalar = (name) => {
    const id = records.table.scalars.findIndex((entry) => entry?.name === name);
    return id < 0 ? undefined : records.events.scalars[id]?.valueAt(totals.until);
  };
  const seconds = (totals.stop - totals.start - restingTime(totals.shares)) / SECOND;
  const formatted = (value) => (value === undefined ? undefined : formatNumber(value));
  return {
    epoch: formatProgress(epoch, live.n_epochs),
    batch: formatProgress(batch, view.follow ? live.n_batches : null),
    step: view.follow && live.n_steps ? formatProgress(live.step - 1, live.n_steps) : undefined,
    left: timeLeft(app, totals.main, totals.until - totals.since),
    rate: `${formatRate(totals.shares.triggered(/^begin_batch$/) / seconds)} batch/s`,
    loss: formatted(scalar("loss") ?? scalar("train_loss")),
    lr: formatted(scalar("lr")),
    elapsed: formatDuration(totals.until - totals.since),
    cancels: formatCount(cancelCount(records, totals).all),
    transitions: formatCount(totals.main.transitionCount),
  };
}

// By the mean time of an update of this process so far, its validations among it; by that of a
// round if the run does not know how many updates it will make, as one with several optimizers.
function timeLeft({ live, view, meta }, totals, elapsed) {
  if (live.status !== "running" || !view.follow) return undefined;
  const [left, made] = live.n_steps
    ? [live.n_steps - live.step, totals.updates]
    : roundsLeft(live, totals, `after_${meta.round}`);
  if (!(made && left >= 0)) return undefined;
  return `about ${formatDuration((left * (elapsed - restingTime(totals))) / made)}`;
}

// How many rounds are left and were made; the current one counts by its batches.
function roundsLeft({ n_epochs, epoch, batch, n_batches }, totals, ending) {
  const part = n_batches ? Math.max(batch ?? 0, 0) / n_batches : 0;
  const ended = totals.triggered({ test: (trigger) => trigger === ending });
  return n_epochs ? [n_epochs - epoch - part, ended + part] : [0, 0];
}

// Time before, between and after fits, which does not count as time of the loop.
function restingTime(totals) {
  return totals.leaves.reduce((sum, ns) => sum + ns, 0) - totals.work;
}

function currentPlace(app, state) {
  const path = breadcrumbs(state.path || "not recorded");
  if (app.view.instant !== null) return { status: "replay", label: path };
  return { status: app.live.status, label: path };
}

// Who was called and has not returned: the first suspect of a loop that stands still.
function calledText({ status, waits, receiver }, since) {
  if (waits) return "It waits for the other ranks. ";
  if (!receiver) return "";
  return status === "died"
    ? `${receiver} was called, and had not returned. `
    : `${receiver} was called ${formatDuration(since)} ago, and has not returned. `;
}

function usualText({ usual }) {
  return usual === null
    ? "it is the first stay in this phase"
    : `usual in this phase: ${formatDuration(usual)}`;
}

// A red banner at the top; a screen reader reads it once.
function showAlarm(app) {
  const { live } = app;
  const banner = byId("banner");
  const wasHidden = banner.hidden;
  banner.hidden = !["died", "stuck"].includes(live.status);
  if (!banner.hidden) fillAlarm(banner, app);
  if (banner.hidden !== wasHidden) arrangeParts();
}

function fillAlarm(banner, app) {
  const { live, view } = app;
  const path = breadcrumbs(live.phase);
  const epoch = formatProgress(live.epoch, live.n_epochs),
    batch = formatProgress(live.batch, live.n_batches);
  const where = `in ${path}, epoch ${epoch}, batch ${batch}`;
  const called = calledText(live, Math.max(0, view.end - app.records.last));
  const since = formatDuration(Math.max(0, view.end - app.records.last));
  const what = live.status === "died" ? "PROCESS DIED" : "STUCK";
  const why =
    live.status === "died"
      ? `${called}Process ${app.meta.pid} has ended; the page shows its last records.`
      : `${called}No transition for ${since}; ${usualText(live)}.`;
  if (!banner.firstChild)
    banner.append(newElement("strong"), newElement("span"), newElement("span"));
  [what, where, why].forEach((text, i) => setText(banner.children[i], text));
}
