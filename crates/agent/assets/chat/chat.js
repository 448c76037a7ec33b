// The chat page: sends a message, reads the event stream of the answer, shows it. A turn whose stream broke off is
// taken up again by itself.

import { add, button, element, make, showHtml } from "./dom.js";
import { read, refusal } from "./stream.js";
import { Activity, Turn } from "./turn.js";
import * as conversations from "./conversations.js";

// How often a broken stream is taken up again, with growing pauses between.
const ATTEMPTS = 5;

const form = element("composer");
const input = element("message");

let session = new URL(location.href).searchParams.get("c") ?? sessionStorage.getItem("conversation") ?? newSession();
let turn = null;
// Settled once a conversation of before is on the page; a question asked earlier waits for it.
let ready = Promise.resolve();

function newSession() {
  return crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

const at = (what = "") => `/conversations/${encodeURIComponent(session)}${what}`;

function busy(is) {
  element("send").hidden = is;
  element("stop").hidden = !is;
  // What this tab waits for when it comes back from a consent page.
  if (is) sessionStorage.setItem("waiting", session);
  else sessionStorage.removeItem("waiting");
}

function problem(words) {
  element("problem").textContent = words ?? "";
  element("problem").hidden = !words;
}

// ---- one turn

function invoke(mine, body) {
  return fetch("/invocations", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify({ ...body, sessionId: session }),
    redirect: "error",
    signal: mine.abort.signal,
  });
}

async function ask(text) {
  await ready;
  turn?.leave();
  problem();
  add(make("li", "mine", text));
  remember();
  await follow((mine) => invoke(mine, { message: text }));
}

// Shows a turn to its end. Each time its stream breaks off, the conversation is drawn again from what the server
// kept, and the turn taken up where it stands.
async function follow(begin, attempt = 0) {
  const mine = (turn = new Turn());
  busy(true);
  let broken = false;
  try {
    const response = await begin(mine);
    if (response.status === 204) broken = true;
    else if (!response.ok) mine.fail(await refusal(response));
    else {
      await read(response.body, (event, data) => mine.on(event, data));
      broken = !mine.ended;
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    broken = true;
  }
  if (turn !== mine) return;
  mine.end();
  turn = null;
  busy(false);
  if (broken && attempt < ATTEMPTS) {
    sessionStorage.setItem("waiting", session);
    await new Promise((done) => setTimeout(done, 500 * 2 ** attempt));
    if (turn === null) await open(session, attempt + 1);
  } else if (broken) {
    problem("The connection was lost before the answer was complete.");
    add(make("li")).append(button("secondary", "Continue", () => open(session, 0, true)));
  }
  list();
}

async function stop() {
  const stopped = await fetch(at("/stop"), { method: "POST" }).catch(() => null);
  // Running elsewhere, or not any more: leaving it ends it all the same.
  if (stopped?.ok) return;
  turn?.leave();
  turn = null;
  busy(false);
}

// ---- conversations

// The address keeps the conversation over a reload, the tab over a walk to the consent pages and back.
function remember() {
  sessionStorage.setItem("conversation", session);
  const url = new URL(location.href);
  if (url.searchParams.get("c") === session) return;
  url.searchParams.set("c", session);
  history.replaceState(null, "", url);
}

function clear() {
  turn?.leave();
  turn = null;
  busy(false);
  element("log").replaceChildren();
  problem();
  element("empty").hidden = false;
}

async function open(id, attempt = 0, resume = sessionStorage.getItem("waiting") === id) {
  const response = await fetch(`/conversations/${encodeURIComponent(id)}`).catch(() => null);
  clear();
  session = id;
  // Another person's id is simply not found; then the conversation is a new one.
  if (response?.status === 404 || response?.status === 400) {
    session = newSession();
    return;
  }
  if (!response?.ok) {
    problem(response ? await refusal(response) : "The conversation could not be loaded. Check your connection and load the page again.");
    return;
  }
  const shown = await response.json();
  draw(shown.entries);
  remember();
  if (shown.underWay) follow((mine) => fetch(at("/events"), { signal: mine.abort.signal }), attempt);
  else if (shown.interrupted && resume) follow((mine) => invoke(mine, { resume: true }), attempt);
  else if (shown.interrupted) {
    const item = add(make("li", "note", "This question was interrupted. "));
    item.append(button("secondary", "Continue", () => open(session, 0, true)));
  }
}

function draw(entries) {
  let activity = null;
  for (const entry of entries) {
    if (entry.role === "tool") {
      activity ??= new Activity();
      activity.show(entry);
      continue;
    }
    activity?.fold();
    activity = null;
    if (entry.role === "user") add(make("li", "mine", entry.text));
    else {
      const item = add(make("li", "answer"));
      item.dataset.testid = "answer";
      showHtml(item, entry.html);
    }
  }
  activity?.fold();
}

function list() {
  return conversations.show(session, {
    onOpen: (id) => open(id).then(list),
    onRemoved: (id) => {
      if (id === session) begin();
      list();
    },
  });
}

function begin() {
  clear();
  session = newSession();
  sessionStorage.removeItem("conversation");
  history.replaceState(null, "", location.pathname);
  input.focus();
}

// ---- the composer

// As tall as its text, within bounds; Enter sends, Shift and Enter begin a line.
function fit() {
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight + 2, innerHeight / 3)}px`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  fit();
  ask(text);
});
input.addEventListener("input", fit);
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
element("stop").addEventListener("click", stop);
element("new").addEventListener("click", begin);
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => ask(example.dataset.example));
}
element("history").open = matchMedia("(min-width: 56rem)").matches;

const known = new URL(location.href).searchParams.has("c") || sessionStorage.getItem("conversation") !== null;
if (known) ready = open(session).catch(() => {});
ready.then(list);
