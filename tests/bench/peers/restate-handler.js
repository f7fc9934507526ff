// Restate's service: makes the call of each job as a durable step. The step's
// result and the handler's are in Restate's journal.
//
//   node restate-handler.js <port to listen on> <base URL of the CSP>
//
// Prints `ready` when it listens.

import * as restate from '@restatedev/restate-sdk';

import { client } from './csp.js';

// The SDK calls this function, which Node.js has since version 22.
Promise.withResolvers ??= () => {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
};

const [port, baseUrl] = process.argv.slice(2);
const call = client(baseUrl);
const jobs = restate.service({
  name: 'Jobs',
  handlers: {
    run: (context, job) => context.run('call', () => call(job), { maxRetryAttempts: 3 }),
  },
});
await restate.serve({ services: [jobs], port: Number(port) });
console.log('ready');
