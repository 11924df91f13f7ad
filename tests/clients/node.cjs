// What the tests of both Node.js clients do alike.
'use strict';
const assert = require('node:assert/strict');

async function until(what, so) {
  const deadline = Date.now() + 20_000;
  while (!(await so())) {
    assert(Date.now() < deadline, `${what}: not within 20 s`);
    await new Promise((done) => setTimeout(done, 2));
  }
}

// A shard is killed; `mget` is the client's own, because its name differs.
async function outlives(redis, mget) {
  const keys = Array.from({ length: 50 }, (_, number) => `after:${number}`);
  await Promise.all(keys.map((key) => redis.set(key, 'before')));
  process.kill(Number(process.env.RENDIS_SHARD), 'SIGKILL');
  await until('all keys are served', async () => {
    const set = await Promise.allSettled(keys.map((key) => redis.set(key, 'after')));
    return set.every((one) => one.status === 'fulfilled');
  });
  assert.deepEqual(await mget(keys), keys.map(() => 'after'));
}

module.exports = { outlives, until };
