// Writes numbered keys through a client library for Node.js that asks the sentinels for the master, and leaves everything else at the
// library's defaults. It prints the same lines of JSON as the Go program writer: its progress every 200 ms, and a report at the end. It
// writes until standard input ends, and reads back then what was acknowledged.
//
//   writer.mjs LIBRARY SENTINEL_HOST SENTINEL_PORT MASTER_NAME PAUSE_IN_MILLISECONDS
//
// The password of servers and sentinels is in REDIS_PASS.
import { setTimeout as sleep } from 'node:timers/promises';

// These are the constants of package writer, in milliseconds, keys and seconds.
const RETRY_PAUSE = 5;
const PROGRESS_EVERY = 200;
const VERIFY_BATCH = 500;
const KEY_LIFE = 3600;

// A failed connection is an event, and the library connects again by itself. Node.js ends a program that does not listen to it.
const ignore = () => {};

const libraries = {
  async ioredis(host, port, name, password) {
    const { Redis } = await import('ioredis');
    const client = new Redis({ sentinels: [{ host, port }], name, password, sentinelPassword: password });
    client.on('error', ignore);
    return {
      set: (key, value) => client.set(key, value, 'EX', KEY_LIFE),
      get: (keys) => client.mget(keys),
      remove: (keys) => client.unlink(keys),
    };
  },
  async 'node-redis'(host, port, name, password) {
    const { createSentinel } = await import('redis');
    const login = { password };
    const client = createSentinel({ name, sentinelRootNodes: [{ host, port }], nodeClientOptions: login, sentinelClientOptions: login });
    client.on('error', ignore);
    await client.connect();
    return {
      set: (key, value) => client.set(key, value, { EX: KEY_LIFE }),
      get: (keys) => client.mGet(keys),
      remove: (keys) => client.unlink(keys),
    };
  },
};

const [library, host, port, name, pause] = process.argv.slice(2);
const client = await libraries[library](host, Number(port), name, process.env.REDIS_PASS || undefined);
const prefix = `${library}:${Date.now()}:`;
const report = { acknowledged: 0, lost: 0, longestGapMilliseconds: 0, failures: 0, failureKinds: {} };
let stopped = false;
let lastFailure;

// write repeats each write until it is acknowledged.
async function write() {
  let last;
  while (!stopped) {
    try {
      await client.set(prefix + report.acknowledged, String(report.acknowledged));
    } catch (error) {
      failed(error);
      await sleep(RETRY_PAUSE);
      continue;
    }
    const now = performance.now();
    report.longestGapMilliseconds = Math.max(report.longestGapMilliseconds, Math.floor(now - (last ?? now)));
    last = now;
    report.acknowledged++;
    await sleep(Number(pause));
  }
}

// failed counts an error that the application got, without the address in it, which differs from attempt to attempt.
function failed(error) {
  lastFailure = error.message.replace(/\d+\.\d+\.\d+\.\d+(:\d+)?/g, 'the server');
  report.failures++;
  report.failureKinds[lastFailure] = (report.failureKinds[lastFailure] ?? 0) + 1;
}

// readBack counts the acknowledged writes that are not there, and removes what it has read.
async function readBack() {
  for (let first = 0; first < report.acknowledged; first += VERIFY_BATCH) {
    const size = Math.min(VERIFY_BATCH, report.acknowledged - first);
    const keys = Array.from({ length: size }, (_, i) => prefix + (first + i));
    const values = await client.get(keys);
    report.lost += values.filter((value, i) => value !== String(first + i)).length;
    await client.remove(keys);
  }
}

process.stdin.on('end', () => { stopped = true; });
process.stdin.resume();
const progress = setInterval(() => {
  console.log(JSON.stringify({ acknowledged: report.acknowledged, lastFailure }));
  lastFailure = undefined;
}, PROGRESS_EVERY);
await write();
clearInterval(progress);
await readBack();
// The libraries keep connections open, which would keep the program running.
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());
