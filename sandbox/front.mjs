// The TLS front of the sandbox: one HTTPS listener for each fixed port, in front of the plain HTTP of the stand-ins
// and of the function host. Node.js does it because its TLS server can ask for a client certificate and accept one
// from any CA, which Python's ssl module cannot; possession of the key is proven by the handshake either way.
//
// stdin: one JSON line of configuration, later lines change settings, end of input ends the process, so that nothing
// outlives the supervisor. stdout: one JSON line for each of them. No key and no secret is ever on disk.

import { appendFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { constants } from 'node:crypto';
import readline from 'node:readline';

const CHAIN = 'x-sandbox-client-chain';
const BODY_CAP = 100 * 1024 * 1024;
// RFC 9110 section 7.6.1: these concern one connection and are not forwarded. `Expect` has been answered by then.
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding',
  'upgrade', 'expect']);
// What App Service's own front end writes, and therefore never lets through from a client.
// https://learn.microsoft.com/azure/app-service/app-service-web-configure-tls-mutual-auth
const EDGE_OWN = ['x-arr-', 'x-forwarded-', 'x-waws-', 'x-ms-client-principal', 'x-front-end-secret'];

// Idle connections are given up before the stand-ins give up theirs (75 s): a request is never sent twice.
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, timeout: 30_000 });
const settings = { edge_buffer_chunked: true };

/** Without the query, which may hold a function key: no secret goes into a log. */
function pathOf(request) {
  return request.url.split('?')[0];
}

function say(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

/** The certificates as the client sent them, leaf first, base64 DER. Node orders them by issuer; a certificate that
 *  does not belong to the leaf's chain is lost on the way. */
function clientChain(socket) {
  if (socket.sandboxChain === undefined) {
    const chain = [];
    let certificate = socket.getPeerCertificate(true);
    while (certificate?.raw && !chain.includes(certificate.raw.toString('base64'))) {
      chain.push(certificate.raw.toString('base64'));
      certificate = certificate.issuerCertificate;
    }
    socket.sandboxChain = chain;
  }
  return socket.sandboxChain;
}

/** Name and value pairs of `raw` without those for one connection and without those that `own` claims. */
function endToEnd(raw, own) {
  const dropped = new Set(HOP_BY_HOP);
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i].toLowerCase() === 'connection') {
      raw[i + 1].split(',').forEach((name) => dropped.add(name.trim().toLowerCase()));
    }
  }
  const kept = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (!dropped.has(name) && !own(name)) kept.push(raw[i], raw[i + 1]);
  }
  return kept;
}

const ownOfEdge = (name) => name === CHAIN || EDGE_OWN.some((prefix) => name.startsWith(prefix));
const ownOfStandin = (name) => name === CHAIN;

function headersFor(listener, request, config) {
  const chain = clientChain(request.socket);
  if (listener.kind === 'standin') {
    const headers = endToEnd(request.rawHeaders, ownOfStandin);
    if (chain.length) headers.push(CHAIN, chain.join(','));
    return headers;
  }
  const headers = endToEnd(request.rawHeaders, ownOfEdge);
  // The leaf alone, base64 DER without armour: App Service forwards no more than that.
  if (chain.length) headers.push('X-ARR-ClientCert', chain[0]);
  headers.push('X-Forwarded-For', `${request.socket.remoteAddress}:${request.socket.remotePort}`,
    'X-Forwarded-Proto', 'https', 'X-WAWS-Unencoded-URL', request.url,
    'X-Front-End-Secret', config.front_end_secret);
  return headers;
}

function refuse(response, status, text) {
  if (response.headersSent) return response.socket?.destroy();
  response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': text.length, Connection: 'close' });
  response.end(text);
}

/** The whole body, or null when it is larger than App Service takes. */
async function gathered(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_CAP) return null;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function forward(listener, request, response, config) {
  const edge = listener.kind === 'edge';
  const headers = headersFor(listener, request, config);
  const chunked = request.headers['transfer-encoding'] !== undefined;
  if (edge && Number(request.headers['content-length'] ?? 0) > BODY_CAP) return refuse(response, 413, 'too large\n');
  let body = null;
  if (chunked && edge && settings.edge_buffer_chunked) {
    body = await gathered(request);
    if (body === null) return refuse(response, 413, 'too large\n');
    headers.push('Content-Length', String(body.length));
  } else if (chunked) {
    headers.push('Transfer-Encoding', 'chunked');
  } else if (request.headers['content-length'] === undefined && !['GET', 'HEAD', 'DELETE'].includes(request.method)) {
    headers.push('Content-Length', '0');
  }
  const options = { host: '127.0.0.1', port: listener.target, agent, method: request.method, path: request.url, headers };
  const outward = http.request(options);
  outward.on('response', (answer) => pass(listener, request, response, answer, config));
  outward.on('error', () => {
    if (edge) refuse(response, 502, 'bad gateway\n');
    else request.socket.destroy(); // a stand-in that hangs up is a peer that hangs up
  });
  if (edge) outward.setTimeout(230_000, () => outward.destroy()); // App Service's front end waits no longer
  response.on('close', () => response.writableFinished || outward.destroy());
  if (body !== null) return outward.end(body);
  if (edge) capped(request, () => {
    refuse(response, 413, 'too large\n');
    outward.destroy();
  });
  request.pipe(outward);
}

/** A WebSocket, which IoT Hub offers to devices: two streams of octets once the stand-in has agreed to it. */
function upgrade(listener, request, socket, head, config) {
  const headers = headersFor(listener, request, config);
  headers.push('Connection', 'Upgrade', 'Upgrade', request.headers.upgrade);
  const options = { host: '127.0.0.1', port: listener.target, agent: false, method: request.method, path: request.url };
  const outward = http.request({ ...options, headers });
  const answered = (answer, last) => {
    const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
    const kept = endToEnd(answer.rawHeaders, () => false);
    for (let i = 0; i < kept.length; i += 2) lines.push(`${kept[i]}: ${kept[i + 1]}`);
    socket.write([...lines, ...last, '', ''].join('\r\n'), 'latin1');
  };
  outward.on('upgrade', (answer, target, rest) => {
    answered(answer, ['Connection: Upgrade', `Upgrade: ${answer.headers.upgrade}`]);
    socket.write(rest);
    target.write(head);
    for (const [from, to] of [[socket, target], [target, socket]]) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  outward.on('response', (answer) => {
    answered(answer, ['Connection: close']);
    answer.pipe(socket);
  });
  outward.on('error', () => socket.destroy());
  socket.on('error', () => outward.destroy());
  outward.end();
}

function capped(request, giveUp) {
  let size = 0;
  request.on('data', (part) => {
    size += part.length;
    if (size > BODY_CAP) giveUp();
  });
}

function pass(listener, request, response, answer, config) {
  response.sendDate = false; // the header is the backend's to send or to leave out
  response.writeHead(answer.statusCode, answer.statusMessage, endToEnd(answer.rawHeaders, () => false));
  answer.on('error', () => request.socket.destroy());
  if (listener.kind === 'edge' && answer.statusCode >= 400 && config.edge_errors) {
    keepError(request, answer, config.edge_errors);
  }
  answer.pipe(response);
}

/** Error bodies are what a device's owner reads; the canary check looks for secrets in them. */
function keepError(request, answer, path) {
  const parts = [];
  answer.on('data', (part) => parts.push(part));
  answer.on('end', () => {
    const entry = { time: new Date().toISOString(), method: request.method, path: pathOf(request),
      status: answer.statusCode, body: Buffer.concat(parts).toString() };
    appendFileSync(path, JSON.stringify(entry) + '\n', { mode: 0o600 });
  });
}

function listen(listener, config) {
  const server = https.createServer({
    cert: config.certificate,
    key: config.key,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    // No tickets, and nobody answers Node's resumeSession event: every connection is a full handshake.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ALPNProtocols: ['http/1.1'],
    maxHeaderSize: 64 * 1024,
    keepAliveTimeout: 240_000,
  }, (request, response) => {
    forward(listener, request, response, config).catch((error) => {
      process.stderr.write(`${listener.port} ${request.method} ${pathOf(request)}: ${error}\n`);
      request.socket.destroy();
    });
  });
  // The Functions host takes no WebSockets: at the edge such a request is one like any other.
  if (listener.kind === 'standin') {
    server.on('upgrade', (request, socket, head) => upgrade(listener, request, socket, head, config));
  }
  server.on('tlsClientError', (error) => process.stderr.write(`${listener.port} TLS: ${error.message}\n`));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(listener.port, '127.0.0.1', () => resolve(server.address().port));
  });
}

async function main() {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done) return;
  const config = JSON.parse(first.value);
  settings.edge_buffer_chunked = config.edge_buffer_chunked;
  try {
    say({ listening: await Promise.all(config.listeners.map((listener) => listen(listener, config))) });
  } catch (error) {
    say({ failed: error.message });
    return;
  }
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    const change = JSON.parse(line);
    const unknown = Object.keys(change).filter((name) => !(name in settings));
    if (unknown.length === 0) Object.assign(settings, change);
    say(unknown.length ? { failed: `no such setting: ${unknown}` } : { set: settings });
  }
}

await main();
process.exit(0);
