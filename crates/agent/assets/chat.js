// The chat page: sends a message, reads the event stream of the answer, shows it.
// A model's words are set as text, never as markup; only a `consent` event makes a link, and only to the
// front channel's own origin.

const element = (id) => document.getElementById(id);
const log = element("log");
const form = element("composer");
const input = element("message");
const frontChannel = document.body.dataset.frontChannel;

const TOOLS = {
  list_issues: "Looking through issues",
  read_issue: "Reading an issue",
  create_issue: "Creating an issue",
};
const REASONS = {
  consent_declined: "Not connected.",
  consent_expired: "This link has expired.",
  access_refused: "The service refused access.",
};

let session = new URL(location.href).searchParams.get("c") ?? sessionStorage.getItem("conversation") ?? newSession();
let turn = null;
// Settled once a conversation of before is on the page; a question asked earlier waits for it.
let ready = Promise.resolve();

function newSession() {
  return crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function add(item) {
  element("empty").hidden = true;
  log.append(item);
  item.scrollIntoView({ block: "nearest" });
  return item;
}

function addAnswer(text) {
  const item = make("li", "answer", text);
  item.dataset.testid = "answer";
  return add(item);
}

function addTool(name, state) {
  const item = make("li", "tool", toolText(name, state));
  item.dataset.state = state;
  return add(item);
}

function toolText(name, state) {
  const what = TOOLS[name] ?? name;
  return { started: `${what}…`, waiting: `${what}: waiting for your consent`, done: what, failed: `${what}: not done` }[state] ?? what;
}

// ---- one turn

class Turn {
  constructor() {
    this.abort = new AbortController();
    this.tools = new Map();
    this.cards = [];
    this.answer = null;
    this.ended = false;
    this.working = add(make("li", "working"));
  }

  stop() {
    this.ended = true;
    this.abort.abort();
    this.settle("failed", "Replaced by your newer message.");
    this.working.remove();
    this.answer?.removeAttribute("aria-busy");
  }

  on(event, data) {
    switch (event) {
      case "message":
        this.answer ??= this.beginAnswer();
        this.answer.textContent += data.text;
        this.answer.scrollIntoView({ block: "nearest" });
        break;
      case "tool":
        this.tool(data);
        break;
      case "consent":
        this.consent(data);
        break;
      case "error":
        this.fail(data.message);
        break;
      case "done":
        this.ended = true;
        break;
    }
    if (!this.ended) log.append(this.working);
  }

  // Read out once it is complete, not word by word.
  beginAnswer() {
    const item = addAnswer("");
    item.setAttribute("aria-busy", "true");
    return item;
  }

  tool({ id, name, state, reason }) {
    this.answer?.removeAttribute("aria-busy");
    this.answer = null;
    let item = this.tools.get(id);
    if (!item) this.tools.set(id, (item = addTool(name, state)));
    item.textContent = toolText(name, state);
    item.dataset.state = state;
    if (state === "done") this.settle("done", "Connected.");
    if (state === "failed") this.settle("failed", REASONS[reason] ?? "Not done.");
  }

  consent({ provider, scopes, url, expiresAt }) {
    const card = make("li", "consent");
    card.append(make("h2", "", `${provider} asks for your consent`));
    const what = make("p", "", "The agent wants to act for you with: ");
    for (const scope of scopes) what.append(make("code", "", scope), " ");
    card.append(what);
    let target = null;
    try {
      target = new URL(url);
    } catch {
      // Shown as an error below.
    }
    if (target?.origin !== frontChannel) {
      card.append(make("p", "error", "The link does not lead to this service's own sign-in pages and is not shown."));
    } else {
      const link = make("a", "button", `Connect ${provider}`);
      link.dataset.testid = "consent-link";
      link.href = target.href;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      const until = new Date(expiresAt * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      card.append(link, make("p", "note", `Opens in a new tab. Valid until ${until}; I go on here by myself once you have decided.`));
    }
    this.cards.push(add(card));
  }

  settle(state, words) {
    for (const card of this.cards.splice(0)) {
      card.dataset.state = state;
      card.querySelector("a")?.remove();
      card.querySelector(".note")?.remove();
      card.append(make("p", "outcome", words));
    }
  }

  fail(words) {
    this.settle("failed", "Not connected.");
    add(make("li", "error", words)).setAttribute("role", "alert");
  }

  end() {
    this.ended = true;
    this.settle("failed", "Not connected.");
    this.working.remove();
    this.answer?.removeAttribute("aria-busy");
  }
}

async function ask(text) {
  await ready;
  turn?.stop();
  const problem = element("problem");
  problem.hidden = true;
  add(make("li", "mine", text));
  const mine = (turn = new Turn());
  remember();
  try {
    const response = await fetch("/invocations", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({ message: text, sessionId: session }),
      redirect: "error",
      signal: mine.abort.signal,
    });
    if (!response.ok) return mine.fail(await refusal(response));
    await read(response.body, (event, data) => mine.on(event, data));
    if (!mine.ended) {
      mine.fail("The connection was lost before the answer was complete.");
      offerAgain(text);
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    mine.fail("The agent could not be reached.");
    offerAgain(text);
  } finally {
    if (turn === mine) {
      mine.end();
      turn = null;
      loadConversations();
    }
  }
}

async function refusal(response) {
  if (response.status === 401) return "You are signed out. Load the page again to sign in.";
  const body = await response.json().catch(() => ({}));
  return body.message ?? `The agent answered with status ${response.status}.`;
}

function offerAgain(text) {
  const again = make("button", "secondary", "Ask again");
  again.type = "button";
  const item = make("li");
  item.append(again);
  again.addEventListener("click", () => {
    item.remove();
    ask(text);
  });
  add(item);
}

// Server-sent events from a fetch; EventSource cannot post.
async function read(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    pending += value;
    const blocks = pending.split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      let event = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) on(event, JSON.parse(data.join("\n")));
    }
  }
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
  turn?.stop();
  turn = null;
  log.replaceChildren();
  element("problem").hidden = true;
  element("empty").hidden = false;
}

async function open(id) {
  clear();
  session = id;
  const response = await fetch(`/conversations/${encodeURIComponent(id)}`).catch(() => null);
  // Another person's id is simply not found; then the conversation is a new one.
  if (response?.status === 404 || response?.status === 400) {
    session = newSession();
    return;
  }
  if (!response?.ok) {
    const problem = element("problem");
    problem.textContent = response ? await refusal(response) : "The conversation could not be loaded.";
    problem.hidden = false;
    return;
  }
  const { entries } = await response.json();
  for (const entry of entries) {
    if (entry.role === "user") add(make("li", "mine", entry.text));
    else if (entry.role === "tool") addTool(entry.name, entry.state);
    else addAnswer(entry.text);
  }
  remember();
  const last = entries.at(-1);
  if (last?.role === "user") {
    add(make("li", "note", "This question was interrupted."));
    offerAgain(last.text);
  }
}

async function loadConversations() {
  const response = await fetch("/conversations").catch(() => null);
  if (!response?.ok) return;
  const { conversations } = await response.json();
  const items = conversations.map(({ sessionId, title }) => {
    const item = make("li");
    const show = make("button", "open", title || "Untitled");
    show.type = "button";
    if (sessionId === session) show.setAttribute("aria-current", "true");
    show.addEventListener("click", () => open(sessionId).then(loadConversations));
    const forget = make("button", "forget", "✕");
    forget.type = "button";
    forget.setAttribute("aria-label", `Delete conversation ${title}`);
    forget.addEventListener("click", () => remove(sessionId));
    item.append(show, forget);
    return item;
  });
  element("conversations").replaceChildren(...items);
}

async function remove(id) {
  if (!confirm("Delete this conversation?")) return;
  await fetch(`/conversations/${encodeURIComponent(id)}`, { method: "DELETE" }).catch(() => null);
  if (id === session) begin();
  loadConversations();
}

function begin() {
  clear();
  session = newSession();
  sessionStorage.removeItem("conversation");
  history.replaceState(null, "", location.pathname);
  input.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  ask(text);
});
element("new").addEventListener("click", begin);
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => ask(example.dataset.example));
}
element("history").open = matchMedia("(min-width: 56rem)").matches;

const known = new URL(location.href).searchParams.has("c") || sessionStorage.getItem("conversation") !== null;
if (known) ready = open(session).catch(() => {});
ready.then(loadConversations);
