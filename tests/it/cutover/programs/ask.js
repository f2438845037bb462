'use strict';
// One HTTP request and how it ended. Used by the client, and by the server when it asks an upstream.

const http = require('node:http');

// A reset that comes sooner than this on a reused connection, before any byte of an answer, is the
// other program's closing of an idle connection that the request has crossed. Clients repeat such a
// request; it is no failure, and is counted on its own.
const IDLE_RESET_MS = 250;
const MOST_REPETITIONS = 5;

class Failure extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

// Sends a GET request. `patience` is the longest wait for the next byte.
// Resolves to { text, longest, idleResets }: the body, the longest wait for a byte in
// milliseconds, and how many idle connections were found closed. Rejects with a Failure, whose
// kind is an error code, `HTTP 502 …`, `incomplete` or `hanging`.
async function ask(url, { agent, lookup, patience = 5000 } = {}) {
  for (let idleResets = 0; ; idleResets++) {
    try {
      const answer = await once(url, { agent, lookup, patience });
      answer.idleResets += idleResets;
      return answer;
    } catch (error) {
      if (!error.idle || idleResets === MOST_REPETITIONS) throw error;
    }
  }
}

function once(url, { agent, lookup, patience }) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    let last = begun;
    let longest = 0;
    let body = '';
    let answered = false;
    const heard = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      patient.refresh();
    };
    const request = http.get(url, { agent, lookup });
    const patient = setTimeout(() => fail('hanging'), patience);
    const fail = (kind) => {
      clearTimeout(patient);
      request.destroy();
      const failure = new Failure(kind);
      const reset = kind === 'ECONNRESET' || kind === 'EPIPE';
      failure.idle = reset && !answered && request.reusedSocket && performance.now() - begun < IDLE_RESET_MS;
      reject(failure);
    };
    request.on('error', (error) => fail(error.code || error.message));
    request.on('response', (response) => {
      answered = true;
      heard();
      response.setEncoding('utf8');
      response.on('data', (piece) => {
        heard();
        body += piece;
      });
      response.on('error', (error) => fail(error.code || error.message));
      response.on('close', () => {
        if (!response.complete) fail('incomplete');
      });
      response.on('end', () => {
        heard();
        clearTimeout(patient);
        if (response.statusCode !== 200) {
          fail(`HTTP ${response.statusCode} ${body.trim()}`);
          return;
        }
        const idleResets = Number(response.headers['idle-resets'] || 0);
        resolve({ text: body, longest, idleResets });
      });
    });
  });
}

module.exports = { ask, Failure };
