// A passage that was found: its document and score in a line, its text below when that is opened.

import { excerpt, highlighted } from "/static/library/highlight.js";

const score = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));

function part(kind, name, ...content) {
  const element = document.createElement(kind);
  element.className = name;
  element.append(...content);
  return element;
}

// With a `query`, its words are marked, and the line says where they stand.
export function passage(found, { number = null, query = null } = {}) {
  const details = part("details", "passage"), summary = document.createElement("summary");
  if (number !== null) summary.append(part("span", "number", `[${number}]`), " ");
  summary.append(part("b", "document", found.document_id), " ");
  if (found.heading) summary.append(part("span", "heading", found.heading), " ");
  summary.append(part("span", "score", `score ${score(found.score)}`));
  if (query !== null) summary.append(part("span", "excerpt", ...highlighted(excerpt(found.text, query), query)));
  details.append(summary, part("p", "text", ...highlighted(found.text, query ?? "")));
  return details;
}
