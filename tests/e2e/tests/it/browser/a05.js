const [held, lure] = arguments;
const fields = { session_id: new URL(held).searchParams.get("session_id") };
const own = held.split("?")[0];

attempt("image", () => {
  const image = new Image();
  const loaded = new Promise((resolve) => (image.onload = image.onerror = (event) => resolve(event.type)));
  image.src = held;
  return loaded;
});
attempt("frame", () => frame(held));
attempt("fetch", () => fetch(held, { mode: "no-cors", credentials: "include" }).then((answer) => answer.type));
attempt("post", () =>
  fetch(own, { method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams(fields) }).then((answer) => answer.type),
);
attempt("form", () => post(own, fields, "_blank"));
attempt("popup", async () => {
  window.open(lure, "lure");
  await new Promise((resolve) => setTimeout(resolve, 3000));
});
