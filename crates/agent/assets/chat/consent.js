// The consent card. It is made from a `consent` event alone, and its link leads to the front channel's own origin or
// nowhere.

import { make } from "./dom.js";

const frontChannel = document.body.dataset.frontChannel;

export function consentCard({ provider, title, agent, person, scopes, newScopes, scopeDescriptions, url, expiresAt }) {
  const name = title ?? provider;
  const card = make("li", "consent");
  card.append(make("h2", "", `Connect ${name}?`));
  const known = scopes.length > newScopes.length;
  card.append(make("p", "", `${agent} asks to act for you, ${person}, at ${name}. It wants to:`));
  const list = make("ul", "scopes");
  for (const scope of scopes) {
    const item = make("li");
    item.append(make("span", "", scopeDescriptions[scope] ?? scope), " ");
    if (scopeDescriptions[scope]) item.append(make("code", "", scope));
    if (known) item.append(" ", make("span", "badge", newScopes.includes(scope) ? "new" : "agreed before"));
    list.append(item);
  }
  card.append(list);
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
  const link = make("a", "button", `Connect ${name}`);
  link.dataset.testid = "consent-link";
  link.href = target.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  const until = new Date(expiresAt * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  card.append(link, make("p", "note", `Opens in a new tab and is valid until ${until}. I go on here by myself once you have decided.`));
  return card;
}

export function settle(card, state, words) {
  card.dataset.state = state;
  card.querySelector("a")?.remove();
  card.querySelector(".note")?.remove();
  card.append(make("p", "outcome", words));
}
