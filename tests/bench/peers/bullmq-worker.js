// BullMQ's worker: makes the call of each job. The returned value is the
// outcome, which Redis stores with the completed job.
//
//   node bullmq-worker.js <port of Redis> <base URL of the CSP>
//
// Prints `ready` when it works.

import { Worker } from 'bullmq';

import { client } from './csp.js';

const [port, baseUrl] = process.argv.slice(2);
const call = client(baseUrl);
const worker = new Worker('jobs', (job) => call(job.data), {
  connection: { host: '127.0.0.1', port: Number(port) },
  // HOTH's default for one CSP.
  concurrency: 64,
});
worker.on('error', (error) => console.error(error));
await worker.waitUntilReady();
console.log('ready');
