// Colours for the canvas, which cannot read the variables of the style sheet.

function readColours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = { tones: Array.from({ length: 10 }, (_, i) => read(`tone-${i}`)) };
  for (const name of ["paper", "card", "well", "ink", "soft", "line", "accent", "alarm", "warn"])
    colours[name] = read(name);
  probe.remove();
  return colours;
}
