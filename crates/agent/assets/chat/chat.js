// The chat page: sends a message, reads the event stream of the answer, shows it. A turn whose stream broke off is
// taken up again by itself.

import { add, button, element, make, showHtml, speaker } from "./dom.js";
import { read, refusal } from "./stream.js";
import { Activity, addAnswer, Turn } from "./turn.js";
import * as conversations from "./conversations.js";

// How often a broken stream is taken up again, with growing pauses between.
const ATTEMPTS = 5;

const form = element("composer");
const input = element("message");

let session = new URL(location.href).searchParams.get("c") ?? sessionStorage.getItem("conversation") ?? newSession();
let turn = null;
// Counts what the page was told to show. An answer that comes after it was told something else is not shown.
let wanted = 0;
// The question that has been sent and not been heard of since, and how many the page showed before it.
let asked = null;
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
  wanted += 1;
  turn?.leave();
  problem();
  asked = { text, before: document.querySelectorAll("#log .mine").length };
  addQuestion(text);
  remember();
  await follow((mine) => invoke(mine, { message: text }));
}

function addQuestion(text) {
  const item = make("li", "mine");
  item.append(speaker("You"), text);
  add(item);
}

// Shows a turn to its end. Each time its stream breaks off, the conversation is drawn again from what the server
// kept, and the turn taken up where it stands.
async function follow(begin, attempt = 0) {
  const mine = (turn = new Turn());
  busy(true);
  let broken = false;
  try {
    const response = await begin(mine);
    if (response.status === 204 || response.status >= 500) broken = true;
    else if (!response.ok) {
      asked = null;
      mine.fail(await refusal(response));
    } else {
      let begun = false;
      await read(response.body, (event, data) => {
        // The question is stored before anything is told of its answer: from now on it has its place in the list.
        if (!begun) {
          asked = null;
          list();
        }
        begun = true;
        mine.on(event, data);
      });
      broken = !mine.ended || mine.restarting;
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    broken = true;
  }
  if (turn !== mine) return;
  mine.end(broken);
  turn = null;
  busy(false);
  if (broken) await again(session, attempt, true);
  list();
}

// Opens the conversation again, after a pause; what is on the page stays until there is something to show.
async function again(id, attempt, resume, reason = "The agent cannot be reached. Check your connection.") {
  if (resume) sessionStorage.setItem("waiting", id);
  if (attempt >= ATTEMPTS) {
    problem(reason);
    const item = add(make("li"));
    const go = () => {
      item.remove();
      input.focus();
      open(id, 0, resume);
    };
    item.append(button("secondary", resume ? "Continue" : "Try again", go));
    return;
  }
  problem("The connection was lost. Trying again…");
  const mine = (wanted += 1);
  await new Promise((done) => setTimeout(done, 500 * 2 ** attempt));
  if (mine === wanted) await open(id, attempt + 1, resume);
}

async function stop() {
  input.focus();
  const stopped = await fetch(at("/stop"), { method: "POST" }).catch(() => null);
  // Running elsewhere, or not any more: leaving it ends it all the same.
  if (stopped?.ok) return;
  turn?.leave();
  turn = null;
  busy(false);
}

// A question that did not reach the agent goes back to where it was written.
function restore(entries) {
  const lost = asked && entries.filter((entry) => entry.role === "user").length <= asked.before;
  if (lost && !input.value) {
    input.value = asked.text;
    fit();
    problem("Your message did not reach the agent. It is in the box below, to be sent again.");
  }
  asked = null;
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
  const mine = (wanted += 1);
  const response = await fetch(`/conversations/${encodeURIComponent(id)}`).catch(() => null);
  if (mine !== wanted) return;
  if (!response || response.status >= 500) {
    await again(id, attempt, resume, response ? await refusal(response) : undefined);
    return;
  }
  clear();
  if (id !== session) asked = null;
  session = id;
  // Another person's id is simply not found; then the conversation is a new one.
  if (response.status === 404 || response.status === 400) {
    if (asked) restore([]);
    else session = newSession();
    return;
  }
  if (!response.ok) {
    problem(await refusal(response));
    return;
  }
  const shown = await response.json();
  draw(shown.entries);
  remember();
  restore(shown.entries);
  if (shown.underWay) follow((mine) => fetch(at("/events"), { signal: mine.abort.signal }), attempt);
  else if (shown.interrupted && resume) follow((mine) => invoke(mine, { resume: true }), attempt);
  else if (shown.interrupted) {
    const item = add(make("li", "note", "This question was interrupted. "));
    const go = () => {
      input.focus();
      open(session, 0, true);
    };
    item.append(button("secondary", "Continue", go));
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
    if (entry.role === "user") addQuestion(entry.text);
    else showHtml(addAnswer(), entry.html);
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
  wanted += 1;
  asked = null;
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
  input.focus();
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
  example.addEventListener("click", () => {
    input.focus();
    ask(example.dataset.example);
  });
}
// Beside the conversation where there is room, folded above it where there is not.
const wide = matchMedia("(min-width: 56rem)");
const fold = () => {
  if (!element("conversations").querySelector("form")) element("history").open = wide.matches;
};
fold();
wide.addEventListener("change", fold);

const known = new URL(location.href).searchParams.has("c") || sessionStorage.getItem("conversation") !== null;
if (known) ready = open(session).catch(() => {});
ready.then(list);
