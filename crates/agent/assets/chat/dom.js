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

// Changes the conversation and keeps its end in view, unless the person has scrolled away to read.
export function followed(change) {
  const following = innerHeight + scrollY >= document.documentElement.scrollHeight - 160;
  change();
  if (following) element("log").lastElementChild?.scrollIntoView({ block: "nearest" });
}

// Who says what follows: seen by its place and colour, told to those who hear the page.
export const speaker = (who) => make("span", "visually-hidden", `${who}: `);

// Adds an item to the conversation.
export function add(item) {
  followed(() => {
    element("empty").hidden = true;
    element("log").append(item);
  });
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
      // Absent where the page came without TLS; refused where the person or a policy does not allow it.
      const copied = await navigator.clipboard?.writeText(code.textContent).then(() => true, () => false);
      copy.textContent = copied ? "Copied" : "Could not copy";
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
