// What collections are asked most of late.

const list = document.getElementById("queries"), title = document.getElementById("queries-title");

function item({ query, count }) {
  const element = document.createElement("li"), words = document.createElement("span"), number = document.createElement("b");
  words.textContent = query;
  number.textContent = count;
  element.append(words, " ", number);
  return element;
}

export function showQueries(queries) {
  title.hidden = list.hidden = !queries.length;
  list.replaceChildren(...queries.map(item));
}
