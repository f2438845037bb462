'use strict';
// Asks a server again and again, counts what comes of it, and on SIGUSR2 prints a report: a line
// `report {…}` of JSON. The next report counts from there.
//
//   URL          what is asked
//   MODE         request (the default), or upgrade: lines that are echoed on one connection
//   AGENT        new: a connection for each request (the default); kept: connections are reused
//   WORKERS      how many ask at a time (1); with kept connections, so many of them
//   PAUSE_MS     the pause of each worker between two requests (4)
//   RESOLVE      each: the name is resolved for each connection (the default); once: at the start
//   NOMINAL_MS   how long the server takes for an answer by itself (0)
//   FIRST        how many answers make it say `first answers` (20)
//   MOST         the most requests in a report, from first answers on (50000)
//   SECONDS      the longest time of a report, from first answers on (120)
//
// A request that is longer than 5 s without a byte is hanging, one with a wait of more than 0.5 s
// is slow, both beyond NOMINAL_MS.

const dns = require('node:dns/promises');
const http = require('node:http');
const { ask, Failure } = require('./ask.js');

const {
  URL: target,
  MODE = 'request',
  AGENT = 'new',
  RESOLVE = 'each',
  WORKERS = '1',
  PAUSE_MS = '4',
  NOMINAL_MS = '0',
  FIRST = '20',
  MOST = '50000',
  SECONDS = '120',
} = process.env;
const workers = Number(WORKERS);
const nominal = Number(NOMINAL_MS);
const SLOW_MS = 500;
const HANGING_MS = 5000;
const WAIT_MS = 20;

const url = new URL(target);
const agent = AGENT === 'kept' ? new http.Agent({ keepAlive: true, maxSockets: workers }) : false;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let tally;
let answered = 0;
// A report is asked for: nothing is begun before it is printed.
let reporting = false;
let atWork = 0;

function reset() {
  tally = {
    total: 0,
    failed: 0,
    errors: {},
    hanging: 0,
    slow: 0,
    idle_resets: 0,
    longest_ms: 0,
    longest_gap_ms: 0,
    versions: {},
    bounded: false,
  };
  tally.begun = tally.good = performance.now();
}

function bounded() {
  if (answered < Number(FIRST)) return false;
  const since = performance.now() - tally.begun;
  return tally.total >= Number(MOST) || since > Number(SECONDS) * 1000;
}

function good(text, longest, idleResets) {
  const now = performance.now();
  tally.total++;
  tally.idle_resets += idleResets;
  tally.longest_ms = Math.max(tally.longest_ms, longest);
  tally.longest_gap_ms = Math.max(tally.longest_gap_ms, now - tally.good);
  tally.good = now;
  if (longest > nominal + SLOW_MS) tally.slow++;
  const version = text.split(/\s/)[0];
  tally.versions[version] = (tally.versions[version] || 0) + 1;
  answered++;
  if (answered === Number(FIRST)) console.log('first answers');
}

function bad(kind) {
  tally.total++;
  tally.longest_gap_ms = Math.max(tally.longest_gap_ms, performance.now() - tally.good);
  if (kind === 'hanging') {
    tally.hanging++;
  } else {
    tally.failed++;
    tally.errors[kind] = (tally.errors[kind] || 0) + 1;
  }
}

function reason(error) {
  return error.kind || error.code || String(error);
}

// A streamed answer has all its lines in order, and its end.
function whole(text) {
  const lines = text.trimEnd().split('\n');
  const last = lines.pop();
  return last.endsWith(' end') && lines.every((line, index) => line.endsWith(` ${index}`));
}

async function once(lookup) {
  try {
    const answer = await ask(url, { agent, lookup, patience: nominal + HANGING_MS });
    if (url.pathname === '/stream' && !whole(answer.text)) throw new Failure('incomplete');
    good(answer.text, answer.longest, answer.idleResets);
  } catch (error) {
    bad(reason(error));
  }
}

// An upgraded connection. `next` resolves to the next line, to undefined when the other side has
// taken leave, or rejects.
function upgrade(lookup) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, {
      agent: false,
      lookup,
      headers: { connection: 'Upgrade', upgrade: 'echo' },
      timeout: HANGING_MS,
    });
    request.on('timeout', () => request.destroy(new Failure('hanging')));
    request.on('error', reject);
    request.on('response', (response) => {
      response.resume();
      reject(new Failure(`HTTP ${response.statusCode}`));
    });
    request.on('upgrade', (response, socket, head) => resolve(echo(socket, head)));
  });
}

function echo(socket, head) {
  const lines = [];
  let rest = '';
  let left = false;
  let failure;
  let waiting;
  const wake = () => {
    if (!waiting) return;
    const { resolve, reject, timer } = waiting;
    if (lines.length === 0 && !left && !failure) return;
    waiting = undefined;
    clearTimeout(timer);
    if (lines.length > 0) resolve(lines.shift());
    else if (left) resolve(undefined);
    else reject(failure);
  };
  const heard = (piece) => {
    const parts = (rest + piece).split('\n');
    rest = parts.pop();
    for (const line of parts) {
      if (line === 'bye') left = true;
      else lines.push(line);
    }
    wake();
  };
  socket.setTimeout(0);
  socket.setEncoding('utf8');
  socket.on('data', heard);
  socket.on('error', (error) => {
    failure ||= error;
    wake();
  });
  socket.on('close', () => {
    failure ||= new Failure('ended');
    wake();
  });
  if (head.length > 0) heard(head.toString());
  return {
    end: () => socket.destroy(),
    send: (line) => socket.write(`${line}\n`),
    next: () =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting = undefined;
          reject(new Failure('hanging'));
        }, HANGING_MS);
        waiting = { resolve, reject, timer };
        wake();
      }),
  };
}

// Sends a line over a connection that is opened where there is none; gives the connection to use
// for the next one. A server that takes leave is asked again over a new connection.
async function exchange(connection, lookup) {
  const begun = performance.now();
  let idleResets = 0;
  try {
    for (;;) {
      connection ||= await upgrade(lookup);
      connection.send('line');
      const line = await connection.next();
      if (line !== undefined) {
        good(line, performance.now() - begun, idleResets);
        return connection;
      }
      idleResets++;
      connection.end();
      connection = undefined;
    }
  } catch (error) {
    connection?.end();
    bad(reason(error));
    return undefined;
  }
}

async function work(lookup) {
  let connection;
  for (;;) {
    if (reporting || bounded()) {
      tally.bounded ||= !reporting;
      await sleep(WAIT_MS);
      continue;
    }
    atWork++;
    if (MODE === 'upgrade') connection = await exchange(connection, lookup);
    else await once(lookup);
    atWork--;
    await sleep(Number(PAUSE_MS));
  }
}

async function resolveOnce() {
  for (;;) {
    try {
      const { address, family } = await dns.lookup(url.hostname);
      return (host, options, found) =>
        options.all ? found(null, [{ address, family }]) : found(null, address, family);
    } catch {
      await sleep(WAIT_MS);
    }
  }
}

async function report() {
  if (reporting) return;
  reporting = true;
  while (atWork > 0) await sleep(WAIT_MS);
  const { begun, good: _, ...counts } = tally;
  counts.seconds = (performance.now() - begun) / 1000;
  console.log(`report ${JSON.stringify(counts)}`);
  reset();
  reporting = false;
}

async function main() {
  reset();
  process.on('SIGUSR2', report);
  process.on('SIGTERM', () => process.exit(0));
  const lookup = RESOLVE === 'once' ? await resolveOnce() : undefined;
  for (let worker = 0; worker < workers; worker++) {
    // Workers do not ask in step.
    setTimeout(() => work(lookup), ((nominal + Number(PAUSE_MS)) * worker) / workers);
  }
}

main();
