// What the page asks of the server it came from. The key stays in this tab.

const keyField = document.getElementById("key");
keyField.value = sessionStorage.getItem("key") ?? "";
keyField.addEventListener("change", () => sessionStorage.setItem("key", keyField.value));

export function onKey(listener) {
  keyField.addEventListener("change", listener);
}

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answered(path, options = {}) {
  const isFile = options.body instanceof Blob;
  const headers = { "Content-Type": isFile ? "application/octet-stream" : "application/json" };
  if (keyField.value) headers.Authorization = `Bearer ${keyField.value}`;
  const response = await fetch(path, { ...options, headers });
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    if (response.status === 401) document.getElementById("settings").open = true;
    throw new ServerError(response.status, told.error?.message ?? `The server answered ${response.status}.`);
  }
  return response;
}

export async function get(path) {
  return (await answered(path)).json();
}

export async function post(path, body, signal) {
  return (await answered(path, { method: "POST", body: JSON.stringify(body), signal })).json();
}

// A file as it is.
export async function put(path, file) {
  return (await answered(path, { method: "PUT", body: file })).json();
}

export async function remove(path) {
  return (await answered(path, { method: "DELETE" })).json();
}

// The events of a stream. Leaving the loop, or the signal, ends the request.
export async function* stream(path, body, signal) {
  const response = await answered(path, { method: "POST", body: JSON.stringify(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ServerError(502, "The server ended the stream before its end.");
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const told = JSON.parse(data);
      if (told.error) throw new ServerError(500, told.error.message);
      yield told;
    }
  }
}
