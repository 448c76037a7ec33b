// The consent card. It is made from a `consent` event alone, and its link leads to the front channel's own origin or
// nowhere.

import { make } from "./dom.js";

const frontChannel = document.body.dataset.frontChannel;

// What is asked for, in plain words where there are any.
function scopeList(scopes, words) {
  const list = make("ul", "scopes");
  for (const scope of scopes) {
    const item = make("li");
    if (words[scope]) item.append(make("span", "words", words[scope]), " ");
    item.append(make("code", "", scope));
    list.append(item);
  }
  return list;
}

export function consentCard({ provider, title, agent, person, scopes, newScopes, knownScopes, scopeDescriptions, url, expiresAt }) {
  const name = title ?? provider;
  // The person has agreed to something here before, and is asked for what is new.
  const more = knownScopes.length > 0 && newScopes.length > 0;
  const card = make("li", "consent");
  card.dataset.declined = more ? "Not allowed." : "Not connected.";
  const heading = make("h2", "", more ? `Let ${agent} do more at ${name}?` : `Connect ${name}?`);
  heading.dataset.settled = name;
  const what = more ? "to do more" : "to act";
  const lead = make("p", "lead", `${agent} asks ${what} for you, ${person}, at ${name}.`);
  lead.dataset.settled = `${agent} asked ${what} for you, ${person}, at ${name}.`;
  card.append(heading, lead);
  if (more) {
    const before = [...new Set([...knownScopes, ...scopes.filter((scope) => !newScopes.includes(scope))])];
    card.append(make("h3", "", "New"), scopeList(newScopes, scopeDescriptions));
    card.append(make("h3", "", "You agreed before"), scopeList(before, scopeDescriptions));
  } else if (scopes.length) {
    const wants = make("h3", "", "It wants to");
    wants.dataset.settled = "It wanted to";
    card.append(wants, scopeList(scopes, scopeDescriptions));
  } else {
    card.append(make("p", "", "The service itself says what that includes."));
  }
  let target = null;
  try {
    target = new URL(url);
  } catch {
    // Shown as an error below.
  }
  if (target?.origin !== frontChannel) {
    card.append(make("p", "error", "The link does not lead to this service's own sign-in pages and is not shown."));
    return card;
  }
  const link = make("a", "button", more ? `Continue to ${name}` : `Connect ${name}`);
  link.dataset.testid = "consent-link";
  link.href = target.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  const until = new Date(expiresAt * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  card.append(link, make("p", "note", `Opens in a new tab and is valid until ${until}. I go on here by myself once you have decided.`));
  return card;
}

// Without words of its own, it came to nothing.
export function settle(card, state, words = card.dataset.declined) {
  card.dataset.state = state;
  // It asks no more.
  for (const part of card.querySelectorAll("[data-settled]")) part.textContent = part.dataset.settled;
  card.querySelector("a")?.remove();
  card.querySelector(".note")?.remove();
  card.append(make("p", "outcome", words));
}
