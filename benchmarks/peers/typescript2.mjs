// The TypeScript SDK 2, both eras, without sessions and with JSON answers: a low-level server a request.
// typescript2.mjs NODE_MODULES PORT
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [modules, port] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Server, createMcpHandler } = require("@modelcontextprotocol/server");
const { toNodeHandler } = require("@modelcontextprotocol/node");

const inputSchema = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };

function made() {
  const server = new Server({ name: "typescript", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", () => ({
    tools: [{ name: "same", description: "The text.", inputSchema }],
  }));
  server.setRequestHandler("tools/call", ({ params }) => ({
    content: [{ type: "text", text: params.arguments.text }],
  }));
  return server;
}

createServer(toNodeHandler(createMcpHandler(made))).listen(Number(port), "127.0.0.1");
