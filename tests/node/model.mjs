// npm `@copilotkit/aimock`: a model server that speaks the protocols of OpenAI, Anthropic, Google, Ollama and Amazon Bedrock
// and answers by script. `node model.mjs NODE_MODULES FIXTURES` prints its URL; FIXTURES is a JSON array of its fixtures.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, fixtures] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/package.json`));
const { LLMock } = await import(pathToFileURL(require.resolve("@copilotkit/aimock")));

const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });
// Not by addFixturesFromJSON, which refuses what no model should say: here some do.
mock.addFixtures(JSON.parse(fixtures));
await mock.start();
console.log(mock.url);
