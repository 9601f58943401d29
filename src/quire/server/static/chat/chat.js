// The conversation. What the model says is text and never markup.

import { Answer } from "/static/chat/answer.js";
import { chosen, onChoice } from "/static/library/choice.js";
import { stream } from "/static/server.js";

const byId = (id) => document.getElementById(id);
const messages = byId("messages"), question = byId("question"), problem = byId("problem");
let conversation = [], running = null;

function showEnd() {
  messages.scrollTop = messages.scrollHeight;
}

function add(element) {
  messages.append(element);
  showEnd();
}

// What makes the log longer: who reads its end stays there, who has scrolled up is left in peace.
function growing(change) {
  const follows = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
  change();
  if (follows) showEnd();
}

function spoken(text) {
  const element = document.createElement("article"), body = document.createElement("div");
  element.className = "message user";
  element.setAttribute("aria-label", "You");
  body.textContent = text;
  element.append(body);
  return element;
}

function body(asked) {
  const system = byId("system").value.trim(), temperature = byId("temperature"), collection = chosen();
  const isUntouched = temperature.value === temperature.defaultValue;
  return {
    messages: [...(system ? [{ role: "system", content: system }] : []), ...asked],
    ...(collection ? { collection: collection.name } : {}),
    ...(collection && isUntouched ? {} : { temperature: temperature.valueAsNumber }),  // the server quotes at its own
    max_tokens: byId("max-tokens").valueAsNumber,
    stream: true,
    stream_options: { include_usage: true },
  };
}

// `asked` is the conversation, which gets what is said, also where it is cut short.
async function fill(answer, asked, signal) {
  const said = { role: "assistant", content: "" };
  let usage = null, first = null;
  const begin = performance.now();
  try {
    for await (const event of stream("/v1/chat/completions", body(asked), signal)) {
      usage = event.usage ?? usage;
      const delta = event.choices[0]?.delta ?? {};
      if (delta.reasoning_content) growing(() => answer.think(delta.reasoning_content));
      if (!delta.content) continue;
      first ??= performance.now();
      growing(() => answer.say(delta.content, delta.citations));
      said.content += delta.content;
    }
  } finally {
    asked.push(said);
  }
  if (!usage) return;
  const words = counted(usage, first === null ? null : first - begin, performance.now() - begin);
  growing(() => answer.end(words));
}

function counted(usage, firstMs, wholeMs) {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return `${usage.prompt_tokens} tokens in (${cached} from the cache), ${usage.completion_tokens} out, ` +
    `first after ${firstMs === null ? "–" : (firstMs / 1000).toFixed(2)} s, ${(wholeMs / 1000).toFixed(2)} s in all`;
}

async function ask() {
  const text = question.value.trim();
  if (!text || running) return;
  problem.textContent = "";
  const asked = conversation, message = spoken(text), answer = new Answer();
  asked.push({ role: "user", content: text });
  add(message);
  add(answer.element);
  question.value = "";
  running = new AbortController();
  setBusy(true);
  try {
    await fill(answer, asked, running.signal);
  } catch (error) {
    if (error.name !== "AbortError") problem.textContent = error.message;
    if (answer.isEmpty && asked === conversation) {  // and not a new chat: the question can be asked again
      asked.splice(-2);
      message.remove();
      answer.element.remove();
      question.value ||= text;
    }
  } finally {
    running = null;
    setBusy(false);
  }
}

function setBusy(isBusy) {
  messages.setAttribute("aria-busy", isBusy);
  byId("send").disabled = isBusy;
  byId("stop").disabled = !isBusy;
}

function reset() {
  running?.abort();
  conversation = [];
  messages.replaceChildren();
  problem.textContent = "";
  question.focus();
}

function describe(collection) {
  byId("from").textContent = collection ? `, from ${collection.name}` : "";
}

export function start() {
  onChoice(describe);
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  byId("options").addEventListener("submit", (event) => event.preventDefault());
  byId("stop").addEventListener("click", () => running?.abort());
  byId("reset").addEventListener("click", reset);
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
  question.focus();
}
