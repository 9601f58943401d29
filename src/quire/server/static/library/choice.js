// The collection that is chosen: the library searches it, and answers stand on it. The choice stays in this tab.

import { get, onKey } from "/static/server.js";

const field = document.getElementById("collection");
const listeners = [];
let infos = new Map();

// What the server says of it; null where none is chosen.
export const chosen = () => infos.get(field.value) ?? null;

export function onChoice(listener) {
  listeners.push(listener);
}

// Asks anew what there is; `name` is chosen then, or what was chosen before.
export async function refresh(name = field.value || sessionStorage.getItem("collection")) {
  const { data } = await get("/v1/collections");
  infos = new Map(data.map((info) => [info.name, info]));
  field.replaceChildren(new Option("none", ""), ...data.map((info) => new Option(info.name)));
  field.value = infos.has(name) ? name : "";
  field.disabled = !data.length;
  tell();
}

function tell() {
  if (field.value) sessionStorage.setItem("collection", field.value);
  else sessionStorage.removeItem("collection");
  for (const listener of listeners) listener(chosen());
}

export function start() {
  const ask = () => refresh().catch(() => {});  // the live view says what is wrong
  field.addEventListener("change", tell);
  onKey(ask);
  ask();
}
