// SPDX-License-Identifier: Apache-2.0
// Keeps the status page live: new events on top, the rest fetched anew when something happened; sends what its buttons say.
"use strict";
const list = document.getElementById("events");
const live = document.getElementById("live");
const MOST = 200;
const MANY = ["prediction.logged", "label.recorded", "telemetry.sampled"];
let waiting = null;
let source = null;
let ticking = null;

function piece(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text; // never as HTML: it comes from outside
  return made;
}

function show(event) {
  if ([...list.children].some((line) => line.dataset.id === event.id)) return;
  const line = document.createElement("li");
  line.dataset.id = event.id;
  line.append(
    piece("time", (event.time || "").slice(11, 19)), " ", piece("b", event.type), " ",
    piece("i", event.project || event.node || ""), " ", event.summary || "");
  list.prepend(line);
  while (list.children.length > MOST) list.lastChild.remove();
}

async function refresh() {
  waiting = null;
  const answer = await fetch("/", { credentials: "same-origin" });
  if (answer.status === 401 || answer.status === 403) shut();
  if (!answer.ok) return;
  if (source !== null && source.readyState === EventSource.CLOSED) listen();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelectorAll("[data-fresh]").forEach((old) => {
    const fresh = page.getElementById(old.id);
    if (!fresh) return;
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceWith(fresh);
    fresh.querySelectorAll("details").forEach((one, index) => { one.open = Boolean(open[index]); });
  });
}

function soon(ms) {
  if (waiting === null) waiting = setTimeout(() => refresh().catch(() => {}), ms);
}

async function send(method, path, body) {
  return fetch(path, {
    method, credentials: "same-origin", body, headers: { "Content-Type": "application/json" },
  });
}

async function wish(button) {
  button.disabled = true;
  const answer = await send(button.dataset.method || "POST", button.dataset.path, button.dataset.body);
  button.textContent = answer.ok ? "✓" : `refused: ${answer.status}`;
  soon(700);
}

async function fill(form) {
  const given = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  given.for_s = Number(given.for_s);
  given.by = given.by || "the status page";
  const answer = await send("POST", form.dataset.path, JSON.stringify(given));
  const said = form.querySelector("output");
  if (answer.ok) {
    form.reset();
    said.textContent = "silenced";
  } else {
    const told = await answer.json().catch(() => ({}));
    said.textContent = `refused: ${told.error ? `${told.error.what}; ${told.error.fix}` : answer.status}`;
  }
  soon(700);
}

document.addEventListener("click", (event) => {
  if (event.target.matches("button[data-path]")) wish(event.target).catch(() => soon(0));
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  fill(event.target).catch(() => soon(0));
});

function shut() {
  if (source === null) return;
  source.close();
  clearInterval(ticking);
  live.textContent = "no longer let in: open the page with a token again";
}

function listen() {
  source = new EventSource("/api/v1/events/stream?summary=true");
  source.onopen = () => { live.textContent = "live"; };
  source.onerror = () => {
    live.textContent = "reconnecting…";
    if (source.readyState === EventSource.CLOSED) soon(5000); // refused: the page then says so, or listens again
  };
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (!MANY.includes(event.type)) show(event);
    soon(MANY.includes(event.type) ? 5000 : 700);
  };
}

if (list) {
  listen();
  ticking = setInterval(() => soon(0), 15000);
}
