// The number of updates that had been made when the training batch at an instant began.

const UPDATED = /\.zero_grad$/;

// Null outside of training, and if no value was recorded of the same fit, which tells the step.
function stepAt(records, time) {
  const here = countSteps(records, time);
  if (!here.path.includes(".train.")) return null;
  const known = knownStep(records, time);
  if (!known) return null;
  const there = countSteps(records, known.time);
  if (there.fits !== here.fits) return null;
  return known.step + here.steps - there.steps - (UPDATED.test(here.path) ? 1 : 0);
}

function countSteps(records, time) {
  const { transitions, paths } = records.table;
  const { sums, columns, leaf } = records.stateAt(time);
  const count = (matches) =>
    transitions.reduce((sum, t, id) => sum + (matches(t) ? sums[columns.transitions + id] : 0), 0);
  return {
    path: paths[leaf] ?? "",
    steps: count((t) => t.trigger === "after_step" && UPDATED.test(t.path)),
    fits: count((t) => ["begin_fit", "begin_rollback"].includes(t.trigger)),
  };
}

// The step of the last recorded value before `time`, or of the first one after it.
function knownStep(records, time) {
  const values = records.events.scalars.flatMap((series) => {
    const i = Math.max(0, (series?.countUpTo(time) ?? 0) - 1);
    return series?.length ? [{ time: series.times[i], step: series.steps[i] }] : [];
  });
  const recorded = values.filter((value) => value.time >= records.first);
  const before = recorded.filter((value) => value.time <= time);
  const later = (a, b) => (a.time > b.time ? a : b);
  if (before.length) return before.reduce(later);
  return recorded.sort((a, b) => a.time - b.time)[0];
}
