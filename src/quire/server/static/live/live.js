// The engine at work, asked once a second while the page is seen.

import { showQueries } from "/static/live/queries.js";
import { get } from "/static/server.js";

const byId = (id) => document.getElementById(id);
const NAMES = { ".": "free", f: "findable", h: "held", s: "shared", F: "hot", H: "hot", S: "hot" };
const PERIOD_MS = 1000, HISTORY = 120, CELL = 9, GAP = 1;
const rates = [];
let last = null;

const seconds = (value) => (value === null ? "–" : value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`);

function showNumbers(now, at) {
  if (last) {
    const rate = Math.max(0, (now.num_output_tokens - last.now.num_output_tokens) / ((at - last.at) / 1000));
    rates.push(rate);
    if (rates.length > HISTORY) rates.shift();
    byId("rate").textContent = rate < 10 ? rate.toFixed(1) : Math.round(rate);
    drawHistory();
  }
  last = { now, at };
  byId("model").textContent = now.model;
  byId("running").textContent = now.num_running;
  byId("waiting").textContent = now.num_waiting;
  byId("first-p50").textContent = seconds(now.first_token_s.p50);
  byId("first-p95").textContent = seconds(now.first_token_s.p95);
  const prompt = now.num_cached_tokens + now.num_prompt_tokens;
  byId("cached").textContent = prompt ? `${Math.round((100 * now.num_cached_tokens) / prompt)} %` : "–";
}

function drawHistory() {
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, i) => `${HISTORY - rates.length + i},${(29 - (28 * rate) / most).toFixed(1)}`);
  byId("history").firstElementChild.setAttribute("points", points.join(" "));
}

function showBlocks({ cells, blocks_per_cell, counts }) {
  const sums = { free: 0, findable: 0, held: 0, shared: 0, hot: 0 };
  for (const [state, count] of Object.entries(counts)) sums[NAMES[state]] += count;
  for (const [name, count] of Object.entries(sums)) byId(`count-${name}`).textContent = count;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const size = blocks_per_cell > 1 ? `, ${blocks_per_cell} to a cell` : "";
  byId("map-title").textContent = `KV blocks: ${total}${size}`;
  byId("map-words").textContent = Object.entries(sums).map(([name, count]) => `${count} ${name}`).join(", ");
  drawMap(cells);
}

function drawMap(cells) {
  const canvas = byId("map"), style = getComputedStyle(document.documentElement), scale = window.devicePixelRatio;
  const columns = Math.max(1, Math.floor(canvas.clientWidth / CELL)), rows = Math.ceil(cells.length / columns);
  canvas.width = canvas.clientWidth * scale;
  canvas.height = rows * CELL * scale;
  canvas.style.height = `${rows * CELL}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const colors = Object.fromEntries(Object.entries(NAMES).map(([s, name]) => [s, style.getPropertyValue(`--${name}`)]));
  for (let i = 0; i < cells.length; i++) {
    context.fillStyle = colors[cells[i]];
    context.fillRect((i % columns) * CELL, Math.floor(i / columns) * CELL, CELL - GAP, CELL - GAP);
  }
}

async function look() {
  try {
    const now = await get("/live");
    showNumbers(now, performance.now());
    showBlocks(now.blocks);
    showQueries(now.hot_queries);
  } catch (error) {
    last = null;
    byId("model").textContent = error.status ? error.message : "The server does not answer.";
  }
}

export async function start() {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
}
