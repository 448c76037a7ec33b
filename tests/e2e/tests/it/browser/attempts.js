// Before every script of an attacker's: `attempt(name, work)` notes what became of each, `finish` hands it over.
const done = arguments[arguments.length - 1];
const tried = {};
const running = [];
function attempt(name, work) {
  const limit = new Promise((resolve) => setTimeout(resolve, 5000, "timeout"));
  running.push(
    Promise.race([new Promise((resolve) => resolve(work())), limit]).then(
      (value) => (tried[name] = String(value)),
      (error) => (tried[name] = `refused: ${error.name}`),
    ),
  );
}
function post(action, fields, target) {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action, target });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), { name, value }));
  }
  document.body.append(form);
  HTMLFormElement.prototype.submit.call(form);
}
function frame(src) {
  const made = document.createElement("iframe");
  const loaded = new Promise((resolve) => (made.onload = () => resolve("loaded")));
  made.src = src;
  document.body.append(made);
  return loaded;
}
function finish() {
  Promise.all(running).then(() => done(tried));
}

