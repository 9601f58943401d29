// One answer as it comes: thoughts folded above, the text, and below it the passages that its marks name.

import { passage } from "/static/library/passage.js";

let numAnswers = 0;

export class Answer {
  #name = `answer-${++numAnswers}`;
  #text = document.createElement("div");
  #thoughts = null;
  #sources = null;
  #length = 0;  // in characters, as citations count; JavaScript's own lengths count some of them twice

  constructor() {
    this.element = document.createElement("article");
    this.element.className = "message assistant";
    this.element.setAttribute("aria-label", "Answer");
    this.element.append(this.#text);
  }

  get isEmpty() {
    return !this.element.textContent;
  }

  think(text) {
    if (!this.#thoughts) {
      const summary = document.createElement("summary");
      summary.textContent = "Thoughts";
      this.#thoughts = document.createElement("details");
      this.#thoughts.append(summary);
      this.element.prepend(this.#thoughts);
    }
    this.#thoughts.append(text);
  }

  // `citations` are those of marks in `text`; their places count from the start of the answer.
  say(text, citations = []) {
    const characters = Array.from(text);
    const piece = (start, end) => characters.slice(start, end).join("");
    let shown = 0;
    for (const citation of citations) {
      const start = citation.start - this.#length, end = citation.end - this.#length;
      this.#addSource(citation);
      if (start < shown) continue;  // a mark of several numbers has a citation for each
      this.#text.append(piece(shown, start), ...this.#mark(piece(start, end)));
      shown = end;
    }
    this.#text.append(piece(shown));
    this.#length += characters.length;
  }

  end(words) {
    const foot = document.createElement("footer");
    foot.textContent = words;
    this.element.append(foot);
  }

  #idOf(number) {
    return `${this.#name}-source-${number}`;
  }

  // "[1, 3]", its numbers as links.
  #mark(text) {
    return text.split(/(\d+)/).map((part, index) => (index % 2 ? this.#link(part) : part));
  }

  #link(number) {
    const link = document.createElement("a");
    link.className = "mark";
    link.href = `#${this.#idOf(number)}`;
    link.textContent = number;
    link.setAttribute("aria-label", `${number}, opens its source`);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.#open(number, link);
    });
    return link;
  }

  #open(number, link) {
    const source = document.getElementById(this.#idOf(number)), back = source.querySelector(".back");
    source.open = true;
    source.querySelector("summary").focus();
    source.scrollIntoView({ block: "nearest" });
    back.onclick = () => link.focus();
    back.hidden = false;
  }

  #addSource({ number, ...found }) {
    if (!this.#sources) {
      this.#sources = document.createElement("ol");
      this.#sources.className = "sources";
      this.#sources.setAttribute("aria-label", "Sources");
      this.element.append(this.#sources);
    }
    const items = [...this.#sources.children];
    if (items.some((item) => item.value === number)) return;
    const item = document.createElement("li"), source = passage(found, { number });
    item.value = number;
    source.id = this.#idOf(number);
    source.append(backButton(number));
    item.append(source);
    this.#sources.insertBefore(item, items.find((each) => each.value > number) ?? null);
  }
}

function backButton(number) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small back";
  button.textContent = `Back to [${number}]`;
  button.hidden = true;
  return button;
}
