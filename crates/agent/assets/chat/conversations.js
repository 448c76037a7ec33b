// The list of conversations beside the chat.

import { button, element, make } from "./dom.js";

export async function show(current, { onOpen, onRemoved }, { after = null, before = [] } = {}) {
  const page = after ? `?after=${encodeURIComponent(after)}` : "";
  const response = await fetch(`/conversations${page}`).catch(() => null);
  // A title being written is not taken away.
  if (!response?.ok || element("conversations").querySelector("form")) return;
  const { conversations, next } = await response.json();
  const again = () => show(current, { onOpen, onRemoved });
  const items = conversations.map(({ sessionId, title }) => {
    const item = make("li");
    const name = title || "Untitled";
    const open = button("open", name, () => onOpen(sessionId));
    if (sessionId === current) open.setAttribute("aria-current", "true");
    const rename = button("quiet", "✎", () => edit(item, sessionId, name, again));
    rename.dataset.rename = sessionId;
    rename.setAttribute("aria-label", `Rename conversation ${name}`);
    const remove = button("quiet", "✕", async () => {
      if (!confirm(`Delete “${name}”?`)) return;
      await fetch(`/conversations/${encodeURIComponent(sessionId)}`, { method: "DELETE" }).catch(() => null);
      element("new").focus();
      onRemoved(sessionId);
    });
    remove.setAttribute("aria-label", `Delete conversation ${name}`);
    item.append(open, rename, remove);
    return item;
  });
  const all = [...before, ...items];
  if (all.length === 0) all.push(make("li", "note", "None yet."));
  const shown = [...all];
  if (next) {
    const more = make("li");
    const further = { after: next, before: all };
    more.append(button("quiet more", "Show more", () => show(current, { onOpen, onRemoved }, further)));
    shown.push(more);
  }
  element("conversations").replaceChildren(...shown);
}

function edit(item, id, title, again) {
  const form = make("form", "rename");
  const input = make("input");
  const close = async () => {
    form.remove();
    await again();
    document.querySelector(`[data-rename="${CSS.escape(id)}"]`)?.focus();
  };
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
    close();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  item.replaceChildren(form);
  input.select();
}
