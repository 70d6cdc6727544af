// Helpers for elements. Text from a recording is only ever inserted as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

function newElement(tag, kind = "", text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  if (text) element.textContent = text;
  return element;
}

// Writes only where the text differs, which saves layout work.
function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), Math.max(low, high));
}
