// Runs Azurite and ends with the process that started it: `node run.mjs PATH_OF_AZURITE_MAIN ARGUMENTS…`.
//
// Azurite itself would outlive a supervisor that was killed; the end of this process's standard input is the one
// sign of that which cannot be missed.

import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";

process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
process.stdin.resume();

// Node.js closes a connection that was idle for five seconds, and a client that writes at that instant finds it gone.
// Azure Storage keeps connections for minutes.
for (const module of [http, https]) {
  const createServer = module.createServer;
  module.createServer = (...options) => Object.assign(createServer(...options), { keepAliveTimeout: 600_000 });
}

// Azurite reads its arguments from process.argv, from the third on.
const main = process.argv.splice(2, 1)[0];
createRequire(import.meta.url)(main);
