// The ranks of the run that is shown, side by side: who waits, who stands still, where one is slow.

class RankTables {
  constructor() {
    this.ranks = new Table(byId("ranks"), ["rank", "now", "waited"], "Ranks of this run");
    this.phases = new Table(
      byId("rank-phases"),
      ["mean of", "fastest", "slowest", "rank"],
      "Mean time of phases on the fastest and the slowest rank",
    );
  }

  // `recordings` are all that the source lists; one of each run has the numbers of its ranks.
  show(recordings, opened) {
    const run = recordings.find(({ id }) => id === opened)?.run;
    const compared = recordings.find((one) => run !== undefined && one.run === run && one.ranks);
    byId("ranks-card").hidden = !compared;
    if (!compared) return;
    const { sentences, ranks, phases } = compared.ranks;
    byId("ranks-news").replaceChildren(...sentences.map((text) => newElement("li", "", text)));
    this.ranks.show(ranks.map(rankRow));
    this.phases.show(
      phases.map(({ phase, fastest, slowest, rank }) => [
        lastScopes(phase),
        formatDuration(fastest),
        formatDuration(slowest),
        String(rank),
      ]),
    );
  }
}

function rankRow({ rank, status, phase, receiver, waits, waited }) {
  const name = breadcrumbs(phase).split(" › ").pop();
  const where = waits ? `${name}, waits` : receiver ? `${name}, in ${receiver}` : name;
  const loud = ["stuck", "died"].includes(status) && !waits ? `${status.toUpperCase()} ` : "";
  return [String(rank), loud + where, formatDuration(waited)];
}

// The part of a phase's path that tells it from others.
function lastScopes(phase) {
  return breadcrumbs(phase).split(" › ").slice(-3).join(" › ");
}
