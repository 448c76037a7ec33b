// One turn as the page shows it: the tools at work, the consent cards, the answer.

import { add, element, followed, make, showHtml, speaker } from "./dom.js";
import { consentCard, settle } from "./consent.js";

const TOOLS = JSON.parse(document.body.dataset.tools);
const REASONS = {
  consent_expired: "This link has expired.",
  access_refused: "The service refused access.",
  scope_not_granted: "Connected, but you did not allow all of it. You can do so under “Connections”, at the top.",
  stopped: "Stopped.",
};

function toolText(name, state) {
  const what = TOOLS[name] ?? name;
  return { started: `${what}…`, waiting: `${what}: waiting for your consent`, done: what, failed: `${what}: not done` }[state] ?? what;
}

// The tools of one stretch of work, which can be folded away.
export class Activity {
  constructor() {
    this.item = add(make("li", "activity"));
    this.details = make("details");
    this.details.open = true;
    this.summary = make("summary");
    this.list = make("ul");
    this.details.append(this.summary, this.list);
    this.item.append(this.details);
    this.tools = new Map();
  }

  show({ id, name, state }) {
    let line = this.tools.get(id);
    if (!line) {
      this.tools.set(id, (line = make("li", "tool")));
      this.list.append(line);
    }
    line.textContent = toolText(name, state);
    line.dataset.state = state;
    const failed = [...this.tools.values()].some((tool) => tool.dataset.state === "failed");
    // A single tool needs no heading.
    this.summary.hidden = this.tools.size === 1;
    this.summary.textContent = `${this.tools.size} steps${failed ? ", not all done" : ""}`;
  }

  fold() {
    this.details.open = this.tools.size === 1 || [...this.tools.values()].some((tool) => tool.dataset.state !== "done");
  }
}

// The place for the words of an answer.
export function addAnswer() {
  const item = make("li");
  const answer = make("div", "answer");
  answer.dataset.testid = "answer";
  item.append(speaker("Agent"), answer);
  add(item);
  return answer;
}

export class Turn {
  constructor() {
    this.abort = new AbortController();
    this.cards = [];
    this.answer = null;
    this.activity = null;
    this.ended = false;
    // The process that ran it stops; another will take it up.
    this.restarting = false;
    this.working = add(make("li", "working"));
  }

  // The page turns to something else; the turn itself goes on or not as the server decides.
  leave() {
    this.ended = true;
    this.abort.abort();
    this.settleCards("failed", "Replaced by your newer message.");
    this.tidy();
  }

  on(event, data) {
    followed(() => this.take(event, data));
  }

  take(event, data) {
    switch (event) {
      case "message":
        this.answer ??= this.beginAnswer();
        this.answer.textContent += data.text;
        break;
      case "answer":
        if (this.answer) showHtml(this.answer, data.html);
        this.endAnswer();
        break;
      case "tool":
        this.tool(data);
        break;
      case "consent":
        this.card(data);
        break;
      case "error":
        this.fail(data.message, data.code);
        break;
      case "done":
        this.ended = true;
        break;
    }
    this.working.classList.toggle("waiting", this.cards.length > 0);
    if (!this.ended) element("log").append(this.working);
  }

  // Read out once it is complete, not word by word.
  beginAnswer() {
    this.activity?.fold();
    this.activity = null;
    const answer = addAnswer();
    answer.setAttribute("aria-busy", "true");
    return answer;
  }

  endAnswer() {
    this.answer?.removeAttribute("aria-busy");
    this.answer = null;
  }

  tool(data) {
    this.endAnswer();
    this.activity ??= new Activity();
    this.activity.show(data);
    if (data.state === "done") this.settleCards("done", "Connected.", data.id);
    if (data.state === "failed") {
      const declined = data.reason === "consent_declined";
      this.settleCards("failed", declined ? undefined : (REASONS[data.reason] ?? "Not done."), data.id);
    }
  }

  card(data) {
    this.cards.push({ card: add(consentCard(data)), calls: data.calls });
  }

  // Settles the cards that `call` waited for, or all.
  settleCards(state, words, call) {
    this.cards = this.cards.filter(({ card, calls }) => {
      if (call !== undefined && !calls.includes(call)) return true;
      settle(card, state, words);
      return false;
    });
  }

  fail(words, code) {
    this.restarting = code === "restarting";
    if (this.restarting) return;
    this.settleCards("failed");
    if (code === "stopped") add(make("li", "note", words));
    else add(make("li", "error", words)).setAttribute("role", "alert");
  }

  end(broken) {
    this.ended = true;
    this.settleCards("failed", broken ? "The connection was lost." : undefined);
    this.tidy();
  }

  tidy() {
    this.activity?.fold();
    this.endAnswer();
    this.working.remove();
  }
}
