// Examples of an evaluation: a card each, with the images and texts of input, prediction, target.

function exampleCards(examples) {
  const list = newElement("ul", "examples");
  list.replaceChildren(...examples.map(exampleCard));
  return list;
}

function exampleCard({ input, prediction, target, right, loss }) {
  const card = newElement("li", right === false ? "example wrong" : "example");
  const images = newElement("div", "example-images");
  const texts = newElement("dl");
  for (const [name, value] of Object.entries({ input, prediction, target })) {
    if (value.src) images.append(exampleImage(name, value.src));
    else if (value) texts.append(...exampleText(name, value, right));
  }
  if (loss !== null) texts.append(...exampleText("loss", formatNumber(loss)));
  if (images.childElementCount) card.append(images);
  card.append(texts);
  return card;
}

// An image of few pixels keeps them; `alt` says which part it is, for what it shows is not known.
function exampleImage(name, address) {
  const image = newElement("img");
  image.alt = name;
  image.title = name;
  image.src = address;
  return image;
}

// The mark says without a colour that a prediction is wrong.
function exampleText(name, text, right = null) {
  const marked = name === "prediction" && right === false ? `✗ ${text}` : text;
  return [newElement("dt", "", name), newElement("dd", name, marked)];
}
