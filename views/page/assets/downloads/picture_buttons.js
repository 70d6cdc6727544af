// Buttons that save a picture as SVG or PNG.

function saveFile(name, blob) {
  const link = newElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Returns what is to be said if it could not be saved, else an empty text.
async function savePicture(name, text, format) {
  const svg = new Blob([text], { type: "image/svg+xml" });
  const blob = format === "svg" ? svg : await pngOf(text).catch(() => null);
  if (!blob) return "This browser cannot draw it as PNG; save it as SVG.";
  saveFile(`${name}.${format}`, blob);
  return "";
}

// Twice as large as on the page, so that it is sharp in print; as large if a browser has no room
// for that, and null if it has none at all.
async function pngOf(text) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  return (await drawnAsPng(image, 2)) ?? drawnAsPng(image, 1);
}

function drawnAsPng(image, scale) {
  const canvas = newElement("canvas");
  canvas.width = scale * image.naturalWidth;
  canvas.height = scale * image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// `svg()` returns the picture's text, `name()` its name.
function pictureButtons(what, name, svg) {
  const group = newElement("span", "save");
  const problem = newElement("output");
  const save = async (format) => setText(problem, await savePicture(name(), svg(), format));
  group.append(
    ...["svg", "png"].map((format) =>
      saveButton(`${what} as ${format.toUpperCase()}`, format, () => save(format)),
    ),
    problem,
  );
  return group;
}

function saveButton(what, format, save) {
  const button = newElement("button", "", format.toUpperCase());
  button.type = "button";
  button.title = button.ariaLabel = `Save ${what}`;
  button.addEventListener("click", save);
  return button;
}
