// Collections made and deleted.

import { chosen, onChoice, refresh } from "/static/library/choice.js";
import { post, remove } from "/static/server.js";

const byId = (id) => document.getElementById(id);
const say = (words) => { byId("made").textContent = words; };

async function make() {
  const field = byId("new-name"), name = field.value.trim();
  say(`Making ${name} …`);
  try {
    await post("/v1/collections", { name, vectors: byId("new-vectors").value });
    field.value = "";
    await refresh(name);
    say(`${name} is there, and chosen.`);
  } catch (error) {
    say(error.message);
  }
}

async function drop() {
  const { name, num_documents: count } = chosen();
  if (!confirm(`Delete the collection ${name} with its ${count} documents for good?`)) return;
  try {
    await remove(`/v1/collections/${encodeURIComponent(name)}`);
    await refresh();
    byId("collection").focus();  // the button goes with the collection
    say(`${name} is deleted.`);
  } catch (error) {
    say(error.message);
  }
}

function describe(collection) {
  byId("drop").hidden = !collection;
  byId("drop").textContent = collection ? `Delete ${collection.name}` : "";
}

export function start() {
  onChoice(describe);
  byId("make").addEventListener("submit", (event) => { event.preventDefault(); make(); });
  byId("drop").addEventListener("click", drop);
}
