const [start, account] = arguments;
const authorize = new URL(start);
const fields = { request_uri: authorize.searchParams.get("request_uri"), decision: "allow" };
const body = new URLSearchParams(fields);
const own = authorize.origin + authorize.pathname;
const binding = `${account}/oauth2/session-binding`;
const read = (answer) => `read ${answer.status}`;

attempt("fetch", () => fetch(start, { credentials: "include" }).then(read));
attempt("post", () => fetch(own, { method: "POST", credentials: "include", body }).then(read));
for (const url of [start, own, binding]) {
  attempt(`blind ${url}`, () =>
    fetch(url, { method: url === start ? "GET" : "POST", mode: "no-cors", credentials: "include", body: url === start ? undefined : body }).then(
      (answer) => answer.type,
    ),
  );
}
attempt("frame", () => frame(start));
attempt("popup", async () => {
  const popup = window.open(start, "start");
  await new Promise((resolve) => setTimeout(resolve, 3000));
  // Cut off by Cross-Origin-Opener-Policy, a window looks closed to its opener.
  if (popup.closed) return "refused: cut off";
  return `reached ${popup.length}`;
});
attempt("form", () => post(own, fields, "_blank"));
attempt("foreign_worker", () => navigator.serviceWorker.register(`${account}/sw.js`));
attempt("own_worker", () => navigator.serviceWorker.register("/assets/chat.js"));
