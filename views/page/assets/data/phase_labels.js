// A short name, a context and a tone (the number of a colour) for each leaf phase.

const TONES = { forward: 0, backward: 1, step: 2, fetch: 3, loss: 4, scored: 6, zero_grad: 7 };
const FREE_TONES = [8, 6, 7, 0, 2, 4, 1, 3];
const QUIET_NAMES = /^(ready|idle|completed|cancelled|failed|failing|.*ed)$/;
const QUIET_TONE = 9;
const HANDLER_TONE = 5;

// `….backward.run` is called `backward`.
function shortName(path) {
  const parts = path.split(".");
  const last = parts.pop();
  return last === "run" && parts.length ? parts.pop() : last;
}

function ancestors(path) {
  return path
    .replace(/\.run$/, "")
    .split(".")
    .slice(0, -1);
}

// The fewest enclosing scopes that distinguish a leaf from others with the same short name.
function distinguishingScopes(path, namesakes) {
  if (namesakes.length < 2) return "";
  const tail = (other, n) => ancestors(other).slice(-n).join(" › ");
  let size = 1;
  const depth = ancestors(path).length;
  while (size < depth && namesakes.filter((o) => tail(o, size) === tail(path, size)).length > 1)
    size++;
  const parts = ancestors(path).slice(-size);
  const shared = (back) =>
    namesakes.every((o) => ancestors(o).at(-back) === ancestors(path).at(-back));
  let drop = 0;
  while (drop < parts.length - 1 && shared(drop + 1)) drop++;
  return parts.slice(0, parts.length - drop).join(" › ");
}

function describeLeaves(leaves) {
  const byName = new Map();
  for (const path of leaves) {
    const name = shortName(path);
    byName.set(name, [...(byName.get(name) ?? []), path]);
  }
  const tones = assignTones([...byName.keys()]);
  return leaves.map((path) => {
    const name = shortName(path);
    return {
      path,
      name,
      context: distinguishingScopes(path, byName.get(name)),
      tone: tones.get(name),
      resting: !path.includes("."),
    };
  });
}

function assignTones(names) {
  const tones = new Map();
  let free = 0;
  for (const name of names) {
    if (name in TONES) tones.set(name, TONES[name]);
    else if (QUIET_NAMES.test(name)) tones.set(name, QUIET_TONE);
    else tones.set(name, FREE_TONES[free++ % FREE_TONES.length]);
  }
  return tones;
}
