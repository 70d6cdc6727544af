// Captions of the panels: which part of the run they show, and a note on the recording.

function showCaptions(view, totals, records) {
  for (const id of ["chart", "handlers", "cancels"])
    setText(byId(`${id}-scope`), `· ${totals.label}`);
  setText(byId("shares-scope"), `· ${sharesLabel(view, totals, records)}`);
  setText(byId("where"), windowLabel(view));
  keepWidth(byId("where"));
}

function sharesLabel(view, totals, records) {
  if (view.instant !== null) return `the second before ${formatTime(totals.stop, 1e6)}`;
  if (view.follow && view.span < Infinity)
    return `last ${formatDuration(totals.stop - totals.start)}`;
  if (view.follow && records.losesBeginning) return `since ${formatTime(view.first)}`;
  return totals.label;
}

function windowLabel(view) {
  if (view.instant !== null) return `at ${formatTime(view.instant, 1e3)}`;
  return formatRange(view.from, view.to);
}

function recordingNote(meta, records) {
  const early = records.losesBeginning
    ? ` Records before ${formatTime(records.first)} were overwritten; the totals are exact.`
    : "";
  const ranks = meta.world > 1 ? `, rank ${meta.rank} of ${meta.world}` : "";
  const untimed = meta.timing ? "" : "; handlers were not timed";
  return `Host time${untimed}. Process ${meta.pid} on ${meta.host}${ranks}.${early}`;
}

// How to have the batch of the selected instant again, on the command line.
function rewindNote(view, records) {
  const step = view.instant === null ? null : stepAt(records, view.instant);
  if (step === null) return "";
  return ` This batch again: trackside rewind FOLDER module:factory --step ${step}`;
}
