// The conversation. What the model says is text and never markup.

import { stream } from "/static/server.js";

const byId = (id) => document.getElementById(id);
const messages = byId("messages"), question = byId("question"), problem = byId("problem");
let conversation = [], running = null;

function shown(role, text = "") {
  const element = document.createElement("article");
  element.className = `message ${role}`;
  element.setAttribute("aria-label", role === "user" ? "You" : "Answer");
  const body = document.createElement("div");
  body.append(text);
  element.append(body);
  messages.append(element);
  messages.scrollTop = messages.scrollHeight;
  return element;
}

// Where thoughts go: above the answer, folded.
function thoughts(element) {
  const details = document.createElement("details"), summary = document.createElement("summary");
  summary.textContent = "Thoughts";
  details.append(summary);
  element.prepend(details);
  return details;
}

function body() {
  const system = byId("system").value.trim();
  return {
    messages: [...(system ? [{ role: "system", content: system }] : []), ...conversation],
    temperature: byId("temperature").valueAsNumber,
    max_tokens: byId("max-tokens").valueAsNumber,
    stream: true,
    stream_options: { include_usage: true },
  };
}

async function answer(element, signal) {
  const said = { role: "assistant", content: "" };
  let thought = null, usage = null, first = null;
  const begin = performance.now();
  try {
    for await (const event of stream("/v1/chat/completions", body(), signal)) {
      usage = event.usage ?? usage;
      const delta = event.choices[0]?.delta ?? {};
      if (delta.reasoning_content) (thought ??= thoughts(element)).append(delta.reasoning_content);
      if (!delta.content) continue;
      first ??= performance.now();
      const follows = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
      element.querySelector(":scope > div").append(delta.content);
      said.content += delta.content;
      if (follows) messages.scrollTop = messages.scrollHeight;
    }
  } finally {
    conversation.push(said);
  }
  if (!usage) return;
  const seconds = (performance.now() - begin) / 1000, foot = document.createElement("footer");
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  foot.textContent = `${usage.prompt_tokens} tokens in (${cached} from the cache), ${usage.completion_tokens} out, ` +
    `first after ${first === null ? "–" : ((first - begin) / 1000).toFixed(2)} s, ${seconds.toFixed(2)} s in all`;
  element.append(foot);
}

async function ask() {
  const text = question.value.trim();
  if (!text || running) return;
  problem.textContent = "";
  conversation.push({ role: "user", content: text });
  shown("user", text);
  question.value = "";
  const element = shown("assistant");
  running = new AbortController();
  setBusy(true);
  try {
    await answer(element, running.signal);
  } catch (error) {
    if (error.name !== "AbortError") problem.textContent = error.message;
    if (!element.textContent) takeBack(element, text);
  } finally {
    running = null;
    setBusy(false);
  }
}

// A question that got no answer can be asked again.
function takeBack(element, text) {
  conversation = conversation.slice(0, -2);
  messages.lastElementChild.previousElementSibling.remove();
  element.remove();
  question.value ||= text;
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

export function start() {
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
