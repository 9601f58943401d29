// Where the words of a query stand in a text. The server compares stems; two words are taken as one here where they
// begin alike and differ in their ends only.

const WORD = /[\p{L}\p{N}_]+/gu;
const COMMON = new Set((
  "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to " +
  "was will with"
).split(" "));
const LEAST_COMMON = 3, MOST_OF_AN_END = 3, EXCERPT = 160;

function areAlike(one, other) {
  if (one === other) return true;
  let common = 0;
  while (common < one.length && one[common] === other[common]) common++;
  return common >= LEAST_COMMON && Math.max(one.length, other.length) - common <= MOST_OF_AN_END;
}

const wordsOf = (query) => (query.toLowerCase().match(WORD) ?? []).filter((word) => !COMMON.has(word));

function places(text, query) {
  const wanted = wordsOf(query);
  const isWanted = ([word]) => !COMMON.has(word.toLowerCase()) && wanted.some((each) => areAlike(each, word.toLowerCase()));
  return wanted.length ? [...text.matchAll(WORD)].filter(isWanted) : [];
}

// The text as nodes, with <mark> around what was asked for.
export function highlighted(text, query) {
  const nodes = [];
  let shown = 0;
  for (const { 0: word, index } of places(text, query)) {
    const mark = document.createElement("mark");
    mark.textContent = word;
    nodes.push(text.slice(shown, index), mark);
    shown = index + word.length;
  }
  return [...nodes, text.slice(shown)];
}

// A line of the text from shortly before the first of those words.
export function excerpt(text, query) {
  const first = places(text, query)[0]?.index ?? 0;
  const start = first < EXCERPT / 2 ? 0 : text.lastIndexOf(" ", first - EXCERPT / 4) + 1;
  const end = start + EXCERPT < text.length ? text.lastIndexOf(" ", start + EXCERPT) : text.length;
  return `${start ? "… " : ""}${text.slice(start, end > start ? end : start + EXCERPT)}${end < text.length ? " …" : ""}`;
}
