// Small pieces that every part of the page uses.

export const element = (id) => document.getElementById(id);

export function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function button(className, text, onClick) {
  const made = make("button", className, text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

// Adds an item to the conversation and keeps it in view, unless the person has scrolled away to read.
export function add(item) {
  const log = element("log");
  const following = innerHeight + scrollY >= document.documentElement.scrollHeight - 160;
  element("empty").hidden = true;
  log.append(item);
  if (following) item.scrollIntoView({ block: "nearest" });
  return item;
}

// `html` comes from the server's renderer, which lets no markup of a model's through.
export function showHtml(item, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const code of template.content.querySelectorAll("pre")) {
    const frame = make("div", "code");
    code.replaceWith(frame);
    code.tabIndex = 0;
    const copy = button("secondary copy", "Copy", async () => {
      await navigator.clipboard.writeText(code.textContent).catch(() => {});
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 2000);
    });
    frame.append(code, copy);
  }
  for (const table of template.content.querySelectorAll("table")) {
    const frame = make("div", "table");
    frame.tabIndex = 0;
    table.replaceWith(frame);
    frame.append(table);
  }
  item.replaceChildren(template.content);
}
