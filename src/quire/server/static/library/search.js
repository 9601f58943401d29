// The passages of the chosen collection that a query is about.

import { passage } from "/static/library/passage.js";
import { deleteButton } from "/static/library/documents.js";
import { chosen, onChoice } from "/static/library/choice.js";
import { post } from "/static/server.js";

const byId = (id) => document.getElementById(id);
const MOST = 10;
const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
let running = null;

function show(hits, query) {
  byId("hits").replaceChildren(...hits.map((hit) => {
    const item = document.createElement("li");
    const found = passage(hit, { query });
    found.append(deleteButton(hit.document_id));
    item.append(found);
    return item;
  }));
}

async function search() {
  const query = byId("query").value.trim(), collection = chosen();
  if (!query || !collection) return;
  running?.abort();
  const { signal } = (running = new AbortController());
  const body = { query, k: MOST, mode: byId("mode").value || null };
  try {
    const { data } = await post(`/v1/collections/${encodeURIComponent(collection.name)}/search`, body, signal);
    show(data, query);
    byId("found").textContent = data.length ? `${counted(data.length, "passage")}, best first` : "Nothing was found.";
  } catch (error) {
    if (error.name === "AbortError") return;
    show([], query);
    byId("found").textContent = error.message;
  }
}

function clear() {
  running?.abort();
  byId("found").textContent = "";
  show([], "");
}

function describe(collection) {
  clear();
  byId("search").hidden = byId("adding").hidden = !collection;
  byId("written").textContent = byId("made").textContent = "";
  byId("holding").textContent = collection
    ? `${collection.name}: ${counted(collection.num_documents, "document")}, ${counted(collection.num_chunks, "passage")}`
    : "Choose a collection above to search it, and to have answers from it.";
  const hasVectors = collection?.vectors === "embedder";  // it makes one of the query; callers' own are theirs to send
  for (const option of byId("mode").options) option.disabled = !hasVectors && option.value !== "lexical";
  byId("mode").value = hasVectors ? "hybrid" : "lexical";
}

export function start() {
  onChoice(describe);
  byId("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  byId("mode").addEventListener("change", search);
}
