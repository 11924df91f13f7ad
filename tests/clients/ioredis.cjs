// ioredis as its users use it.
'use strict';
const assert = require('node:assert/strict');
const { Redis } = require('ioredis');
const { outlives, until } = require('./node.cjs');

const at = { host: process.env.RENDIS_HOST, port: Number(process.env.RENDIS_PORT) };
const opened = [];
const connect = (more = {}) => {
  const client = new Redis({ ...at, ...more });
  opened.push(client);
  return client;
};

async function everyday(redis) {
  await redis.flushall();
  assert.equal(await redis.set('string', 'value'), 'OK');
  assert.equal(await redis.get('string'), 'value');
  assert.equal(await redis.get('none'), null);
  assert.equal(await redis.hset('hash', { a: 1, b: 2 }), 2);
  assert.deepEqual({ ...(await redis.hgetall('hash')) }, { a: '1', b: '2' });
  assert.equal(await redis.zadd('scores', 1.5, 'one'), 1);
  assert.equal(await redis.zscore('scores', 'one'), '1.5');
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, number) => [`many:${number}`, String(number)]));
  await redis.mset(many);
  assert.deepEqual(await redis.mget(Object.keys(many)), Object.values(many));
  assert.equal(await redis.del(...Object.keys(many).slice(50)), 50);
  const seen = [];
  for await (const keys of redis.scanStream({ count: 7 })) seen.push(...keys);
  assert.deepEqual(seen.sort(), (await redis.keys('*')).sort());
  assert.equal(seen.length, await redis.dbsize());
  await assert.rejects(redis.lpush('string', 1), /WRONGTYPE/);
  await assert.rejects(redis.sinter('many:1', 'many:2', 'many:3', 'many:4'), /CROSSSLOT/);
}

async function pipelines(redis) {
  const pipeline = redis.pipeline();
  for (let number = 0; number < 1000; number++) pipeline.incr(`count:${number % 50}`);
  const counts = await pipeline.exec();
  assert.deepEqual(counts.at(-1), [null, 20]);
  assert.deepEqual(await redis.multi().set('{t}a', 1).incr('{t}a').exec(), [[null, 'OK'], [null, 2]]);
  await assert.rejects(
    redis.multi().set('count:1', 1).set('count:2', 1).set('count:3', 1).set('count:4', 1).exec(),
    /EXECABORT/,
  );
  const watching = connect();
  await watching.watch('{t}a');
  await redis.set('{t}a', 'changed');
  assert.equal(await watching.multi().set('{t}a', 'mine').exec(), null);
}

async function scripts(redis) {
  redis.defineCommand('add', {
    numberOfKeys: 1,
    lua: "return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}",
  });
  for (let number = 0; number < 20; number++) {
    assert.deepEqual(await redis.add(`script:${number}`, 3), [`script:${number}`, 3]);
  }
  assert.equal(await redis.eval('return ARGV[1]', 0, 'x'), 'x');
}

async function messages(redis) {
  const listening = connect();
  const got = [];
  listening.on('message', (channel, text) => got.push([channel, text]));
  listening.on('pmessage', (_pattern, channel, text) => got.push([channel, text]));
  const channels = Array.from({ length: 10 }, (_, number) => `channel:${number}`);
  assert.equal(await listening.subscribe(...channels), 10);
  assert.equal(await listening.psubscribe('pattern:*'), 11);
  for (const channel of [...channels, 'pattern:x']) {
    assert((await redis.publish(channel, 'text')) >= 1);
    await until('a message comes', () => got.length > 0);
    assert.deepEqual(got.splice(0), [[channel, 'text']]);
  }
  assert.equal(await listening.unsubscribe(...channels), 1);
  await until('nobody listens', async () => (await redis.publish(channels[0], 'nobody')) === 0);
  assert.deepEqual(got, []);
  listening.disconnect();
}

async function waits(redis) {
  const waiting = connect();
  const popped = waiting.blpop('queue', 20);
  await redis.rpush('queue', 'item');
  assert.deepEqual(await popped, ['queue', 'item']);
  assert.equal(await waiting.blpop('queue', 0.05), null);
}

(async () => {
  for (const more of [{}, { enableAutoPipelining: true }]) {
    const redis = connect({ ...more, maxRetriesPerRequest: 3 });
    await everyday(redis);
    await pipelines(redis);
    await scripts(redis);
    await messages(redis);
    await waits(redis);
  }
  const redis = connect();
  await outlives(redis, (keys) => redis.mget(keys));
  opened.forEach((client) => client.disconnect());
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
