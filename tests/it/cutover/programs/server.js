'use strict';
// A server whose answers begin with TEXT, which says which version gave them.
//
//   /                 answers at once
//   /slow?ms=2000     answers after that time
//   /stream?ms=3000   a line every 50 ms for that time, then `end`
//   /upstream?ms=120  works for that time, then asks UPSTREAM with a new connection
//   /page             answers what UPSTREAM does, asked with a kept connection, as a proxy does
//   Upgrade: echo     on any path: sends back each line; `bye` is its last one
//
// It listens BOOT_MS after its start. On SIGTERM it ends what is under way, closes idle
// connections, takes leave of upgraded ones, and exits.

const http = require('node:http');
const { ask } = require('./ask.js');

const { TEXT = 'text', UPSTREAM, PORT = '8080', BOOT_MS = '0' } = process.env;
const PIECE_MS = 50;
const kept = new http.Agent({ keepAlive: true });
const upgraded = new Set();
let ending = false;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function stream(response, ms) {
  for (let piece = 0; piece * PIECE_MS < ms && !response.destroyed; piece++) {
    response.write(`${TEXT} ${piece}\n`);
    await sleep(PIECE_MS);
  }
  response.end(`${TEXT} end\n`);
}

async function upstream(response, agent, before) {
  try {
    const answer = await ask(UPSTREAM, { agent });
    response.setHeader('idle-resets', answer.idleResets);
    response.end(before + answer.text);
  } catch (error) {
    response.statusCode = 502;
    response.end(error.kind);
  }
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://server');
  const ms = Number(url.searchParams.get('ms') || 0);
  if (ending) response.setHeader('connection', 'close');
  if (url.pathname === '/stream') return stream(response, ms);
  if (ms > 0) await sleep(ms);
  if (ending) response.setHeader('connection', 'close');
  if (url.pathname === '/upstream') return upstream(response, false, `${TEXT} `);
  if (url.pathname === '/page') return upstream(response, kept, '');
  response.end(`${TEXT}\n`);
});

server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  upgraded.add(socket);
  let rest = '';
  socket.on('data', (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop();
    for (const line of lines) socket.write(`${TEXT} ${line}\n`);
  });
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('close', () => upgraded.delete(socket));
  if (ending) socket.end('bye\n');
});

process.on('SIGTERM', () => {
  ending = true;
  for (const socket of upgraded) socket.end('bye\n');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});

setTimeout(() => server.listen(Number(PORT)), Number(BOOT_MS));
