"use strict";
// The page is a client like any other: it speaks MCP to the server that it came from, with the token that its
// reader pastes, so that nothing is shown here which that token does not open. The protocol is 2026-07-28, where
// every request stands alone. All that comes back is untrusted and becomes text, never markup.
(() => {
const VERSION = "2026-07-28";
const EXAMPLE = "https://almanac.example/mcp"; // what stands for the address in what is copied
const MOST_SHOWN = 200_000; // characters of a result: a browser lays out more than that slowly
const LINE = 72; // characters of a result's line, where that can be
const LOOK_S = 30; // between two looks whether the server answers
const CHOSEN = "almanac-theme";
const endpoint = new URL("mcp", location.href.split(/[?#]/)[0]);
const plain = endpoint.protocol === "http:" && !["localhost", "127.0.0.1", "[::1]"].includes(endpoint.hostname);
const here = (id) => document.getElementById(id);

// Colours first: this runs before anything is drawn.
const theme = stored();
if (theme) document.documentElement.dataset.theme = theme;

function stored(...chosen) {
  try { // storage may be switched off
    if (chosen.length) localStorage.setItem(CHOSEN, chosen[0]);
    return localStorage.getItem(CHOSEN);
  } catch {
    return "";
  }
}

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children); // strings become text
  return made;
}

// --- MCP

class Failure extends Error {
  constructor(text, status = 0) {
    super(text);
    this.status = status;
  }
}

let token = "";
let asked = 0;

async function ask(method, params = {}, signal) {
  const id = ++asked;
  const headers = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
    "Mcp-Method": method,
  };
  if (method === "tools/call") headers["Mcp-Name"] = params.name;
  if (token) headers.Authorization = `Bearer ${token}`;
  const meta = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": { name: "almanac-page", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, _meta: meta } });
  let response, text;
  try {
    response = await fetch(endpoint, { method: "POST", headers, body, signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    throw error.name === "AbortError" ? new Failure("Stopped.") : new Failure("The server cannot be reached.");
  }
  const answer = messageIn(text, response.headers.get("Content-Type") ?? "", id);
  if (answer?.result) return answer.result;
  const words = answer?.error?.message ?? answer?.error_description ?? `The server answered ${response.status}.`;
  throw new Failure(String(words), response.status);
}

// An answer is one JSON message, or the last of a stream of events.
function messageIn(text, type, id) {
  try {
    if (!type.startsWith("text/event-stream")) return JSON.parse(text);
    for (const event of text.split(/\r?\n\r?\n/)) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      const message = data.length ? JSON.parse(data.join("\n")) : {};
      if (Number(message.id) === id || message.error) return message;
    }
  } catch { /* no JSON: something between here and the server has answered */ }
  return undefined;
}

async function listed() {
  const tools = [];
  let cursor;
  do {
    const page = await ask("tools/list", cursor ? { cursor } : {});
    tools.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor);
  return tools;
}

// --- How it is

const STATES = new Map([
  ["ready", ["ready", "Running, and ready for calls"]],
  ["not ready", ["degraded", "Running, but not ready for calls"]],
  ["ending", ["degraded", "Ending"]],
]);

let tellsReady = true; // a proxy may keep /ready for those who watch

async function look() {
  const status = tellsReady ? await statusAt("ready") : undefined;
  tellsReady = STATES.has(status);
  const running = tellsReady || (await statusAt("health")) === "ok";
  const [state, words] = STATES.get(status) ?? (running ? ["ready", "Running"] : ["unavailable", "Not answering"]);
  if (here("alive").textContent !== words) { // else it would be read out at every look
    here("alive").replaceChildren(make("span", { class: `moon ${state}` }), words);
  }
}

async function statusAt(path) {
  try {
    return (await (await fetch(new URL(path, endpoint), { cache: "no-store" })).json()).status;
  } catch { // no answer, or none of this server's
    return undefined;
  }
}

async function showStatus() {
  const button = here("look-again");
  button.disabled = true;
  try {
    const answer = await ask("tools/call", { name: "status", arguments: {} });
    const status = answer.structuredContent;
    if (answer.isError || !status?.domains) throw new Failure(textOf(answer));
    here("domains").replaceChildren(...Object.entries(status.domains).map(domainOf));
    const left = Object.entries(status.limits ?? {}).map(([name, words]) => `${name}: ${words}`);
    here("status-note").textContent = [`Version ${status.version}`, ...left].join(" · ");
  } catch (error) {
    here("status-note").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

function domainOf([name, health]) {
  const providers = (health.providers ?? []).map((one) => [one.name, one.state, one.note].filter(Boolean).join(", "));
  const lines = [health.summary, health.mend, ...providers].filter(Boolean);
  return make("details", { open: health.state !== "ready" },
    make("summary", {}, make("span", { class: `moon ${health.state}` }), make("b", {}, name), health.state),
    make("ul", {}, ...lines.map((line) => make("li", {}, line))));
}

// --- Tools

async function enter() {
  tell("Asking…");
  try {
    const tools = await listed();
    tell(tools.length ? "" : "No tool is open to this caller.");
    here("tools").replaceChildren(...sectionsOf(tools));
    here("enter").hidden = here("entered").hidden = true;
    if (token) {
      here("entered").hidden = false;
      speak(`${tools.length} tools`);
    }
    here("status").hidden = !tools.some((tool) => tool.name === "status");
    if (!here("status").hidden) await showStatus();
  } catch (error) {
    const wrong = token && error.status === 401;
    token = "";
    tell(wrong ? "This token is not valid here: it is wrong, or its time is over." : error.message, true);
    here("token").select();
  }
}

function forget() {
  token = here("token").value = "";
  here("tools").replaceChildren();
  here("domains").replaceChildren();
  here("status").hidden = here("entered").hidden = true;
  here("enter").hidden = false;
  tell("");
}

function tell(text, bad = false) {
  here("told").textContent = text;
  here("told").classList.toggle("bad", bad);
}

function speak(text) {
  here("spoken").textContent = text;
}

function sectionsOf(tools) {
  const groups = new Map();
  for (const tool of tools) {
    const [domain, ...rest] = tool.name.split("_");
    const group = rest.length ? domain : "server";
    groups.set(group, [...(groups.get(group) ?? []), tool]);
  }
  return [...groups].map(([group, members]) =>
    make("section", {}, make("h3", {}, group), ...members.map(rowOf)));
}

function rowOf(tool) {
  const { readOnlyHint: reads, openWorldHint: asksOthers, destructiveHint: destroys } = tool.annotations ?? {};
  const marks = [
    reads ? "Reads only" : destroys ? "Changes or deletes" : "Adds",
    asksOthers ? "asks services on the network" : "stays on the server",
  ];
  if (!reads) marks.push("not to be tried from here");
  const row = make("details", {},
    make("summary", {}, make("h4", {}, tool.name), tool.title ?? ""),
    make("p", {}, tool.description ?? ""),
    make("p", { class: "marks" }, marks.join(" · ")));
  row.addEventListener("toggle", () => row.append(formOf(tool, reads)), { once: true });
  return row;
}

// The form is the list of parameters too: of a tool that changes something, it is only that.
function formOf(tool, runs) {
  const required = tool.inputSchema.required ?? [];
  const fields = Object.entries(tool.inputSchema.properties ?? {})
    .map(([name, schema]) => fieldOf(tool.name, name, schema, required.includes(name), runs));
  const parameters = fields.length ? fields.map((field) => field.node) : [make("p", { class: "marks" }, "No parameters.")];
  if (!runs) return make("div", { class: "call" }, ...parameters);

  const run = make("button", {}, "Run");
  const stop = make("button", { type: "button", hidden: true }, "Stop");
  const note = make("span", { class: "note", role: "status" });
  const result = make("pre", { class: "result", tabindex: "0", role: "region", "aria-label": `Result of ${tool.name}` });
  const copy = copyButton(result, `the result of ${tool.name}`);
  const form = make("form", { class: "call" }, ...parameters, make("div", { class: "row" }, run, stop, copy, note), result);
  let running;
  result.hidden = copy.hidden = true;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    running = new AbortController();
    stop.hidden = false;
    note.classList.remove("bad");
    note.textContent = "Running…";
    const began = performance.now();
    try {
      const given = fields.map((field) => [field.name, field.value()]).filter(([, value]) => value !== undefined);
      const params = { name: tool.name, arguments: Object.fromEntries(given) };
      const answer = await ask("tools/call", params, running.signal);
      const took = Math.round(performance.now() - began).toLocaleString("en");
      note.textContent = answer.isError ? `Refused after ${took} ms` : `Answered in ${took} ms`;
      note.classList.toggle("bad", Boolean(answer.isError));
      result.textContent = cut(textOf(answer));
      result.hidden = copy.hidden = false;
    } catch (error) {
      note.textContent = error.message;
      note.classList.add("bad");
      result.hidden = copy.hidden = true;
    } finally {
      running = undefined;
      stop.hidden = true;
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  stop.addEventListener("click", () => {
    running?.abort();
    run.focus();
  });
  return form;
}

function fieldOf(tool, name, schema, required, runs) {
  const id = `${tool}.${name}`;
  const kinds = [schema, ...(schema.anyOf ?? [])].flatMap((option) => option.type ?? []).filter((kind) => kind !== "null");
  const about = [schema.description, limitsOf(schema), defaultOf(schema)].filter(Boolean).join(" ");
  const kind = make("span", {}, ` ${schema.enum ? schema.enum.join(" | ") : kinds.join(" or ")}${required ? "" : ", optional"}`);
  const note = make("p", { class: "note", id: `${id}.about` }, about);
  if (!runs) {
    return { name, node: make("div", { class: "field" }, make("p", { class: "mono" }, name, kind), note) };
  }
  const json = kinds.includes("array") || kinds.includes("object");
  const label = make("label", { for: id }, name, kind);
  const input = inputFor(name, schema, kinds, json, { id, required, "aria-describedby": `${id}.about` });
  const checks = input.type === "checkbox";
  const wide = input.tagName === "TEXTAREA" || (required && input.type === "text");
  const node = make("div", { class: `field ${checks ? "check" : wide ? "wide" : ""}` }, ...(checks ? [input, label] : [label, input]), note);

  function value() {
    if (checks) return input.checked;
    if (input.value === "") return required && kinds.includes("string") ? "" : undefined;
    if (kinds[0] === "integer" || kinds[0] === "number") return Number(input.value);
    if (!json) return input.value;
    try {
      return JSON.parse(input.value);
    } catch {
      input.focus();
      throw new Failure(`${name} takes JSON, such as ["one", "two"].`);
    }
  }
  return { name, node, value };
}

function inputFor(name, schema, kinds, json, attributes) {
  if (schema.enum) {
    const options = schema.enum.map((value) => make("option", { selected: value === schema.default }, String(value)));
    return make("select", attributes, ...options);
  }
  if (kinds[0] === "boolean") {
    return make("input", { ...attributes, type: "checkbox", checked: schema.default === true, required: false });
  }
  const typed = { ...attributes, autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  if (json || /^(sql|text)$/.test(name)) return make("textarea", { ...typed, rows: json ? 1 : 2 });
  if (kinds[0] !== "integer" && kinds[0] !== "number") return make("input", { ...typed, type: "text" });
  const step = kinds[0] === "integer" ? 1 : "any";
  return make("input", { ...typed, type: "number", min: schema.minimum, max: schema.maximum, step });
}

function limitsOf({ minimum, maximum, minItems, maxItems }) {
  if (maxItems !== undefined) return `${minItems ?? 0} to ${maxItems}, as a JSON list.`;
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum.toLocaleString("en")}.`;
  return minimum !== undefined ? `${minimum} or more.` : "";
}

function defaultOf({ default: value }) {
  return value === undefined || value === null || value === "" ? "" : `${value} if left out.`;
}

// What a program gets if there is that, or else the blocks that a model reads; of a picture only what it is.
function textOf(answer) {
  if (answer.structuredContent && !answer.isError) return written(answer.structuredContent);
  const blocks = (answer.content ?? []).map((block) => {
    if (block.type === "text") return block.text;
    const size = block.data ? `, ${Math.round(block.data.length * 3 / 4).toLocaleString("en")} bytes` : "";
    return `[${block.mimeType ?? block.type}${size}]`;
  });
  return blocks.join("\n\n") || "The answer is empty.";
}

// JSON with what is short on one line: a row of a table is one.
function written(value, margin = "") {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const list = Array.isArray(value);
  const [opening, closing] = list ? "[]" : "{}";
  const within = `${margin}  `;
  const parts = Object.entries(value)
    .map(([name, one]) => (list ? "" : `${JSON.stringify(name)}: `) + written(one, within));
  const line = opening + parts.join(", ") + closing;
  if (line.length <= LINE && !line.includes("\n")) return line;
  return `${opening}\n${parts.map((part) => within + part).join(",\n")}\n${margin}${closing}`;
}

function cut(text) {
  if (text.length <= MOST_SHOWN) return text;
  return `${text.slice(0, MOST_SHOWN)}\n\n[Cut here: ${(text.length - MOST_SHOWN).toLocaleString("en")} more characters.]`;
}

// --- What is copied

function copyButton(source, what) {
  const button = make("button", { type: "button", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(source)) ? "Copied" : "Press Ctrl+C";
    speak(button.textContent);
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return button;
}

async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch { // plain HTTP on another machine: only what is selected can be copied
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

function prepareSnippets() {
  for (const block of document.querySelectorAll(".code")) {
    const kind = block.dataset.reach;
    if (kind && (kind === "plain") !== plain) {
      block.remove();
      continue;
    }
    const code = block.querySelector("code");
    code.textContent = code.textContent.replaceAll(EXAMPLE, endpoint.href);
    block.hidden = false;
    const client = block.closest("details")?.querySelector("h3").textContent;
    block.append(copyButton(code, client ? `for ${client}` : "the address"));
  }
}

addEventListener("DOMContentLoaded", () => {
  prepareSnippets();
  if (plain) here("token-hint").append(" This connection is not encrypted: who listens on the way can read it.");
  here("theme").hidden = false;
  for (const radio of here("theme").elements) radio.checked = radio.value === (theme || "");
  here("theme").addEventListener("change", (event) => {
    stored(event.target.value);
    document.documentElement.dataset.theme = event.target.value;
  });
  here("look-again").addEventListener("click", showStatus);
  here("forget").addEventListener("click", () => {
    forget();
    here("token").focus();
  });
  here("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    token = here("token").value.trim();
    if (!/^[\x21-\x7e]+$/.test(token)) {
      token = "";
      tell("This is no token: it has characters that none has.", true);
      return;
    }
    here("token").value = "";
    enter();
  });
  look();
  setInterval(() => document.hidden || look(), LOOK_S * 1000);
  if (document.documentElement.dataset.access === "open") enter();
});
addEventListener("pagehide", () => token && forget()); // a browser may keep the page for its back button
})();
