// The call of a job to the CSP, the same for every peer.

import { Pool } from 'undici';

// Connections are kept, and as many as the workers have jobs at once.
const CONNECTIONS = 64;

/** Returns a function that makes the call of a job and returns its outcome. */
export function client(baseUrl) {
  const { origin, pathname } = new URL(baseUrl);
  const pool = new Pool(origin, { connections: CONNECTIONS });
  return async (job) => {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: `${pathname}/portfolios`,
      headers: {
        'content-type': 'application/json',
        'idempotency-key': job.jobId,
        authorization: 'Bearer a-token-of-the-benchmark',
      },
      body: JSON.stringify(job.payload),
    });
    return { jobId: job.jobId, code: statusCode, content: await body.json() };
  };
}
