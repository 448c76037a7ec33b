// The list of conversations beside the chat.

import { button, element, make } from "./dom.js";

export async function show(current, { onOpen, onRemoved }) {
  const response = await fetch("/conversations").catch(() => null);
  if (!response?.ok) return;
  const { conversations } = await response.json();
  const again = () => show(current, { onOpen, onRemoved });
  const items = conversations.map(({ sessionId, title }) => {
    const item = make("li");
    const name = title || "Untitled";
    const open = button("open", name, () => onOpen(sessionId));
    if (sessionId === current) open.setAttribute("aria-current", "true");
    const rename = button("quiet", "✎", () => edit(item, sessionId, name, again));
    rename.setAttribute("aria-label", `Rename conversation ${name}`);
    const remove = button("quiet", "✕", async () => {
      if (!confirm(`Delete “${name}”?`)) return;
      await fetch(`/conversations/${encodeURIComponent(sessionId)}`, { method: "DELETE" }).catch(() => null);
      onRemoved(sessionId);
    });
    remove.setAttribute("aria-label", `Delete conversation ${name}`);
    item.append(open, rename, remove);
    return item;
  });
  if (items.length === 0) items.push(make("li", "note", "None yet."));
  element("conversations").replaceChildren(...items);
}

function edit(item, id, title, again) {
  const form = make("form", "rename");
  const input = make("input");
  input.value = title;
  input.maxLength = 80;
  input.required = true;
  input.setAttribute("aria-label", "New title");
  form.append(input, make("button", "secondary", "Save"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ title: input.value });
    await fetch(`/conversations/${encodeURIComponent(id)}`, { method: "PATCH", headers, body }).catch(() => null);
    again();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") again();
  });
  item.replaceChildren(form);
  input.select();
}
