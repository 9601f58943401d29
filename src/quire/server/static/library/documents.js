// Documents into the chosen collection and out of it: files as they are, and text that is pasted as a file of its own.

import { chosen, refresh } from "/static/library/choice.js";
import { post, put } from "/static/server.js";

const byId = (id) => document.getElementById(id);
const pathOf = (collection) => `/v1/collections/${encodeURIComponent(collection.name)}/documents`;
const say = (words) => { byId("written").textContent = words; };
let turn = Promise.resolve();

// What is told of `work` stays when the collection's numbers are asked anew. One work at a time.
function inTurn(work) {
  turn = turn.then(async () => {
    try {
      const words = await work();
      await refresh();
      say(words);
    } catch (error) {
      say(error.message);
    }
  });
}

// One after the other; those that cannot be added do not keep the others out.
async function add(collection, files) {
  const counts = { added: 0, updated: 0, unchanged: 0 }, refused = [];
  for (const [index, file] of files.entries()) {
    say(`Adding ${file.name}, ${index + 1} of ${files.length} …`);
    try {
      const done = await put(`${pathOf(collection)}/${file.name.split("/").map(encodeURIComponent).join("/")}`, file);
      for (const name of Object.keys(counts)) counts[name] += done[`num_${name}`];
    } catch (error) {
      refused.push(`${file.name}: ${error.message}`);
    }
  }
  const told = Object.entries(counts).filter(([, count]) => count).map(([name, count]) => `${count} ${name}`);
  return { refused, words: [...(told.length ? [`${told.join(", ")}.`] : []), ...refused].join(" ") };
}

function addFiles() {
  const field = byId("files"), files = [...field.files], collection = chosen();
  field.value = "";
  inTurn(async () => (await add(collection, files)).words);
}

function addText() {
  const name = byId("text-name"), text = byId("text"), collection = chosen();
  const file = new File([text.value], name.value.trim());
  inTurn(async () => {
    const { refused, words } = await add(collection, [file]);
    if (!refused.length) name.value = text.value = "";
    return words;
  });
}

// A button that takes a document out, once it is confirmed.
export function deleteButton(id) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = "Delete document";
  button.addEventListener("click", () => {
    if (!confirm(`Delete the document ${id} for good?`)) return;
    const collection = chosen();
    byId("query").focus();  // the button goes with its passage
    inTurn(async () => {
      const { num_deleted: count } = await post(`${pathOf(collection)}/delete`, { ids: [id] });
      return count ? `${id} is deleted.` : `${id} was not there any more.`;
    });
  });
  return button;
}

export function start() {
  byId("add-files").addEventListener("submit", (event) => { event.preventDefault(); addFiles(); });
  byId("add-text").addEventListener("submit", (event) => { event.preventDefault(); addText(); });
}
