// Server-sent events from a fetch; EventSource cannot post.

export async function read(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    pending += value;
    const blocks = pending.split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      let event = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) on(event, JSON.parse(data.join("\n")));
    }
  }
}

export async function refusal(response) {
  if (response.status === 401) return "You are signed out. Load the page again to sign in.";
  const body = await response.json().catch(() => ({}));
  return body.message ?? `The agent answered with status ${response.status}.`;
}
