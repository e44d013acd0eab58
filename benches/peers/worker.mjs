// What a shop would write by hand in JavaScript: amqplib in, undici out, tried again in the process, acknowledged at the end.
//
//   node worker.mjs AMQP QUEUE SINK_HOST_PORT CONCURRENCY [mixed]
//
// Prints `ready` once it consumes; SIGTERM ends it. With `mixed`, every transaction id that ends in 0 goes to a path that is
// expected never to answer.
//
// Refuses: everything that a dispatcher adds. What it lacks is listed in README.md.

import { setTimeout as sleep } from 'node:timers/promises';

import amqp from 'amqplib';
import { Pool } from 'undici';

const ATTEMPTS = 5;
// Doubled after each attempt.
const BACKOFF_FIRST_MS = 500;
const TIMEOUT_MS = 10_000;
// How long SIGTERM waits for what was begun.
const GRACE_MS = 5_000;
// Messages held per request in flight: the next ones are at hand, and an event that sleeps between two attempts keeps no slot
// from the others. Of 1, 4 and 16 none was faster while nothing failed.
const PREFETCH = 4;

const FIELDS = ['transactionId', 'gclid', 'value', 'currency', 'track', 'ts'];

if (process.argv.length < 6 || 7 < process.argv.length) {
  console.error('node worker.mjs AMQP QUEUE SINK_HOST_PORT CONCURRENCY [mixed]');
  process.exit(1);
}
const [url, queue, sink, concurrency, mode] = process.argv.slice(2);

// Its connections are kept, and what finds none free waits in it; the time-outs count from when a request is sent.
const http = new Pool(`http://${sink}`, {
  connections: Number(concurrency),
  pipelining: 1,
  connect: { timeout: TIMEOUT_MS },
  headersTimeout: TIMEOUT_MS,
  bodyTimeout: TIMEOUT_MS,
});

const begun = new Set();
let stopping = false;

function target(content) {
  // A number is a double here: 15.49 is sent as 15.49, but 99.00 as 99, since JSON.parse keeps no zeros.
  const event = JSON.parse(content);
  const missing = FIELDS.filter((field) => event[field] === undefined);
  if (missing.length) throw new Error(`no ${missing.join(', ')}`);
  const { transactionId, gclid, value, currency, track, ts } = event;
  const path = mode === 'mixed' && transactionId.endsWith('0') ? '/hang/p' : '/p';
  const text = encodeURIComponent;
  return (
    `${path}?transaction_id=${text(transactionId)}&click_id=${text(gclid)}&value=${value}` +
    `&currency=${text(currency)}&event=${text(track)}&ts=${ts}`
  );
}

async function accepted(path) {
  try {
    const { statusCode, body } = await http.request({ method: 'GET', path });
    await body.dump();
    return 200 <= statusCode && statusCode < 300;
  } catch {
    return false;
  }
}

async function send(message) {
  let path;
  try {
    path = target(message.content);
  } catch (error) {
    console.error(`not a purchase: ${error.message}`);
    return channel.nack(message, false, false);
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt) await sleep(BACKOFF_FIRST_MS * 2 ** (attempt - 1));
    // Not acknowledged: the broker gives it to the next worker.
    if (stopping) return;
    if (await accepted(path)) return channel.ack(message);
  }
  console.error(`given up: ${path}`);
  channel.nack(message, false, false);
}

const connection = await amqp.connect(url);
// Whoever keeps it running starts it again.
connection.on('error', (error) => console.error(error.message));
connection.on('close', () => process.exit(stopping ? 0 : 1));
const channel = await connection.createChannel();
await channel.prefetch(PREFETCH * Number(concurrency));

const { consumerTag } = await channel.consume(queue, (message) => {
  // The queue is gone.
  if (message === null) process.exit(1);
  const sent = send(message).finally(() => begun.delete(sent));
  begun.add(sent);
});
console.log('ready');

process.once('SIGTERM', async () => {
  stopping = true;
  await channel.cancel(consumerTag);
  await Promise.race([Promise.allSettled(begun), sleep(GRACE_MS)]);
  await connection.close();
});
