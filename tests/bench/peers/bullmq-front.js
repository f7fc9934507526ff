// BullMQ's HTTP front end: adds each posted job to the queue, and answers when
// Redis has it on the disk (`appendfsync always`).
//
//   node bullmq-front.js <port of Redis>
//
// Prints its own port when it listens.

import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

import { Queue } from 'bullmq';

const queue = new Queue('jobs', { connection: { host: '127.0.0.1', port: Number(process.argv[2]) } });

// As HOTH repeats a call that fails: three attempts, with a backoff.
const RETRY = { attempts: 3, backoff: { type: 'exponential', delay: 1000 } };

// States of jobs whose outcome is not stored yet.
const UNFINISHED = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children', 'paused'];

const server = createServer(async (request, response) => {
  try {
    if (request.method === 'GET') {
      answer(response, 200, { unfinished: await queue.getJobCountByTypes(...UNFINISHED) });
      return;
    }
    const job = JSON.parse(await text(request));
    // The id makes a repeated POST harmless, as it does in HOTH.
    await queue.add('job', job, { jobId: job.jobId, ...RETRY });
    answer(response, 201, { jobId: job.jobId });
  } catch (error) {
    answer(response, 500, { message: String(error) });
  }
});

function answer(response, status, body) {
  const content = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) });
  response.end(content);
}

await queue.waitUntilReady();
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
