// A confusion matrix: a row for each target, a column for each prediction; then the share of right
// ones in each row.

function confusionTable(classes, counts) {
  const table = newElement("table", "confusion");
  const head = newElement("tr");
  head.append(newElement("th", "", "target \\ prediction"));
  for (const name of classes) head.append(columnHead(name));
  head.append(columnHead("right"));
  const rows = counts.map((row, i) => confusionRow(classes, row, i));
  table.append(head, ...rows);
  const frame = newElement("div", "wide");
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", "Confusion matrix");
  frame.append(table);
  return frame;
}

function columnHead(name) {
  const head = newElement("th");
  head.scope = "col";
  head.append(newElement("span", "", name));
  head.title = name;
  return head;
}

function confusionRow(classes, row, i) {
  const line = newElement("tr");
  const head = newElement("th", "", classes[i]);
  head.scope = "row";
  head.title = classes[i];
  const total = row.reduce((sum, count) => sum + count, 0);
  const share = total ? formatPercent(row[i] / total) : "";
  line.append(head, ...row.map((count, j) => confusionCell(classes, count, total, i, j)));
  line.append(newElement("td", "share", share));
  return line;
}

function confusionCell(classes, count, total, i, j) {
  const cell = newElement("td", i === j ? "right" : "", count ? String(count) : "");
  cell.style.setProperty("--share", total ? String(Math.round((100 * count) / total)) : "0");
  cell.title = `${count} of ${total} ${classes[i]} predicted as ${classes[j]}`;
  return cell;
}
