// The TypeScript SDK 1 (2025-11-25 and before) without sessions and with JSON answers: a low-level server a request.
// typescript1.mjs NODE_MODULES PORT
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [modules, port] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Server } = require("@modelcontextprotocol/sdk/server/index.js");
const { StreamableHTTPServerTransport } = require("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { CallToolRequestSchema, ListToolsRequestSchema } = require("@modelcontextprotocol/sdk/types.js");

const inputSchema = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };

function made() {
  const server = new Server({ name: "typescript", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: [{ name: "same", description: "The text.", inputSchema }],
  }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }) => ({
    content: [{ type: "text", text: params.arguments.text }],
  }));
  return server;
}

createServer(async (request, response) => {
  const server = made();
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  response.on("close", () => server.close());
  await server.connect(transport);
  await transport.handleRequest(request, response);
}).listen(Number(port), "127.0.0.1");
