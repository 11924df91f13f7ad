// node-redis as its users use it, in RESP2 and RESP3.
'use strict';
const assert = require('node:assert/strict');
const { createClient, defineScript, WatchError } = require('redis');
const { outlives, until } = require('./node.cjs');

const url = `redis://${process.env.RENDIS_HOST}:${process.env.RENDIS_PORT}`;
const opened = [];
async function connect(RESP) {
  const add = defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: "return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}",
    parseCommand(parser, key, by) {
      parser.pushKey(key);
      parser.push(String(by));
    },
    transformReply: undefined,
  });
  const client = createClient({ url, RESP, scripts: { add } });
  client.on('error', (error) => console.error(`client: ${error}`));
  opened.push(client);
  return client.connect();
}

async function everyday(redis) {
  await redis.flushAll();
  assert.equal(await redis.set('string', 'value'), 'OK');
  assert.equal(await redis.get('string'), 'value');
  assert.equal(await redis.get('none'), null);
  assert.equal(await redis.hSet('hash', { a: 1, b: 2 }), 2);
  assert.deepEqual({ ...(await redis.hGetAll('hash')) }, { a: '1', b: '2' });
  assert.equal(await redis.zAdd('scores', { score: 1.5, value: 'one' }), 1);
  assert.equal(await redis.zScore('scores', 'one'), 1.5);
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, number) => [`many:${number}`, String(number)]));
  assert.equal(await redis.mSet(many), 'OK');
  assert.deepEqual(await redis.mGet(Object.keys(many)), Object.values(many));
  assert.equal(await redis.del(Object.keys(many).slice(50)), 50);
  const seen = [];
  for await (const keys of redis.scanIterator({ COUNT: 7 })) seen.push(...[keys].flat());
  assert.deepEqual(seen.sort(), (await redis.keys('*')).sort());
  assert.equal(seen.length, await redis.dbSize());
  await assert.rejects(redis.lPush('string', '1'), /WRONGTYPE/);
  await assert.rejects(redis.sInter(['many:1', 'many:2', 'many:3', 'many:4']), /CROSSSLOT/);
}

async function pipelines(redis) {
  const counts = await Promise.all(Array.from({ length: 1000 }, (_, number) => redis.incr(`count:${number % 50}`)));
  assert.equal(counts.at(-1), 20);
  assert.deepEqual(await redis.multi().set('{t}a', '1').incr('{t}a').exec(), ['OK', 2]);
  const apart = redis.multi().set('count:1', '1').set('count:2', '1').set('count:3', '1').set('count:4', '1');
  await assert.rejects(apart.exec());
  const watching = await connect();
  await watching.watch('{t}a');
  await redis.set('{t}a', 'changed');
  await assert.rejects(watching.multi().set('{t}a', 'mine').exec(), WatchError);
}

async function scripts(redis) {
  for (let number = 0; number < 20; number++) {
    assert.deepEqual(await redis.add(`script:${number}`, 3), [`script:${number}`, 3]);
  }
}

async function messages(redis, RESP) {
  const listening = await connect(RESP);
  const got = [];
  const heard = (text, channel) => got.push([channel, text]);
  const channels = Array.from({ length: 10 }, (_, number) => `channel:${number}`);
  await listening.subscribe(channels, heard);
  await listening.pSubscribe('pattern:*', heard);
  await listening.sSubscribe('sharded', heard);
  for (const channel of [...channels, 'pattern:x', 'sharded']) {
    const publish = channel === 'sharded' ? redis.sPublish(channel, 'text') : redis.publish(channel, 'text');
    assert((await publish) >= 1);
    await until('a message comes', () => got.length > 0);
    assert.deepEqual(got.splice(0), [[channel, 'text']]);
  }
  await listening.unsubscribe();
  await until('nobody listens', async () => (await redis.publish(channels[0], 'nobody')) === 0);
  assert.deepEqual(got, []);
  listening.destroy();
  opened.splice(opened.indexOf(listening), 1);
}

async function waits(redis, RESP) {
  const waiting = await connect(RESP);
  const popped = waiting.blPop('queue', 20);
  await redis.rPush('queue', 'item');
  assert.deepEqual({ ...(await popped) }, { key: 'queue', element: 'item' });
  assert.equal(await waiting.blPop('queue', 0.05), null);
}

(async () => {
  for (const RESP of [2, 3]) {
    const redis = await connect(RESP);
    await everyday(redis);
    await pipelines(redis);
    await scripts(redis);
    await messages(redis, RESP);
    await waits(redis, RESP);
  }
  const redis = await connect(3);
  await outlives(redis, (keys) => redis.mGet(keys));
  opened.forEach((client) => client.destroy());
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
