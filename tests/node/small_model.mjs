// A real model of 135 million parameters behind OpenAI's protocol: SmolLM2 by node-llama-cpp, on this machine's processor.
// `node small_model.mjs NODE_MODULES WEIGHTS` prints its URL. It is too small to be trusted with a format, so a JSON grammar
// holds it to one: asked by a person, it names a tool and its arguments; shown a tool's result, it says something.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, weights] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/package.json`));
const { getLlama, LlamaChatSession, LlamaLogLevel } = await import(pathToFileURL(require.resolve("node-llama-cpp")));

const llama = await getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: weights });
const context = await model.createContext({ contextSize: 1024, threads: 1 });

const string = { type: "string", maxLength: 40 };

// What a grammar can express of a tool's arguments: the names of its members, and of each the choices or a text.
function wish({ function: { name, parameters } }) {
  const properties = Object.entries(parameters?.properties ?? {}).map(([member, schema]) => [
    member,
    schema.enum ? { enum: schema.enum } : string,
  ]);
  return {
    type: "object",
    properties: { tool: { const: name }, arguments: { type: "object", properties: Object.fromEntries(properties) } },
  };
}

async function complete({ messages, tools = [] }) {
  const shown = messages.at(-1).role === "tool";
  const schema = shown || !tools.length ? { type: "object", properties: { answer: string } } : { oneOf: tools.map(wish) };
  const grammar = await llama.createGrammarForJsonSchema(schema);
  const sequence = context.getSequence();
  try {
    const session = new LlamaChatSession({ contextSequence: sequence });
    const asked = messages.map(({ role, content }) => `${role}: ${content ?? ""}`).join("\n").slice(-400);
    const offered = shown ? "" : `Tools: ${tools.map((tool) => tool.function.name).join(", ")}.\n`;
    return grammar.parse(await session.prompt(`${offered}${asked}`, { grammar, temperature: 0, maxTokens: 60 }));
  } finally {
    sequence.dispose();
  }
}

createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const said = await complete(JSON.parse(body));
  const call = said.tool && { index: 0, id: "call_1", type: "function", function: { name: said.tool, arguments: JSON.stringify(said.arguments) } };
  const deltas = [{ delta: call ? { tool_calls: [call] } : { content: said.answer }, finish_reason: null }, { delta: {}, finish_reason: call ? "tool_calls" : "stop" }];
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const delta of deltas) {
    const chunk = { id: "1", object: "chat.completion.chunk", model: "smollm2", choices: [{ index: 0, ...delta }] };
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  }
  response.end("data: [DONE]\n\n");
}).listen(0, "127.0.0.1", function () {
  console.log(`http://127.0.0.1:${this.address().port}`);
});
