"""redis-py as its users use it, blocking and asynchronous, in RESP2 and RESP3."""

import asyncio
import os
import signal
import threading
import time

import redis
import redis.asyncio

HOST, PORT = os.environ["RENDIS_HOST"], int(os.environ["RENDIS_PORT"])
SHARD = int(os.environ["RENDIS_SHARD"])


def connect(protocol, **more):
    return redis.Redis(
        host=HOST, port=PORT, protocol=protocol, decode_responses=True, socket_timeout=20, **more
    )


def until(what, so):
    deadline = time.monotonic() + 20
    while not so():
        assert time.monotonic() < deadline, f"{what}: not within 20 s"
        time.sleep(0.002)


def everyday(r):
    r.flushall()
    assert r.ping()
    assert r.set("string", "value") and r.get("string") == "value" and r.get("none") is None
    assert r.set("string", "other", nx=True) is None
    assert r.set("short", 7, ex=1000) and r.ttl("short") > 900
    assert r.hset("hash", mapping={"a": 1, "b": 2}) == 2
    assert r.hgetall("hash") == {"a": "1", "b": "2"}
    assert r.zadd("scores", {"one": 1.5, "two": 2}) == 2
    ranked = r.zrange("scores", 0, -1, withscores=True)
    assert [tuple(pair) for pair in ranked] == [("one", 1.5), ("two", 2.0)], ranked
    assert r.xadd("stream", {"f": "v"}, id="1-1") == "1-1"
    assert r.lpush("list", "a", "b") == 2 and r.lrange("list", 0, -1) == ["b", "a"]
    assert r.sadd("set", "x") == 1 and r.smembers("set") == {"x"}
    many = {f"many:{number}": str(number) for number in range(100)}
    assert r.mset(many)
    assert r.mget(list(many)) == list(many.values())
    assert r.delete(*list(many)[50:]) == 50
    assert r.dbsize() == len(r.keys()) == 57
    assert sorted(r.scan_iter(count=7)) == sorted(r.keys())
    assert len(list(r.scan_iter(match="many:*"))) == 50
    assert r.info()["redis_version"] and r.client_list()[0]["lib-name"].startswith("redis-py")


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.incr(f"count:{number % 50}")
        assert pipe.execute()[-1] == 20
    with r.pipeline() as pipe:
        assert pipe.set("{t}a", 1).incr("{t}a").lpush("{t}a", "x").execute(raise_on_error=False)[:2] == [True, 2]
    with r.pipeline() as pipe:
        pipe.set("count:1", 1).set("count:2", 1).set("count:3", 1).set("count:4", 1)
        try:
            pipe.execute()
            raise AssertionError("keys of several shards in one transaction")
        except redis.exceptions.ResponseError as error:
            assert "CROSSSLOT" in str(error) or "same shard" in str(error) or "EXECABORT" in str(error), error

    # Optimistic locking: nothing is lost.
    def count():
        for _ in range(20):
            r.transaction(lambda pipe: add(pipe), "{t}counter")

    def add(pipe):
        old = int(pipe.get("{t}counter") or 0)
        pipe.multi()
        pipe.set("{t}counter", old + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert r.get("{t}counter") == "80", r.get("{t}counter")


def scripts(r):
    script = r.register_script("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}")
    for number in range(20):
        assert script(keys=[f"script:{number}"], args=[3]) == [f"script:{number}", 3]
    assert r.eval("return ARGV[1]", 0, "x") == "x"
    with r.lock("lock", timeout=10):
        assert r.exists("lock")
    assert not r.exists("lock")


def messages(r, protocol):
    listening = connect(protocol).pubsub(ignore_subscribe_messages=True)
    channels = [f"channel:{number}" for number in range(10)]
    listening.subscribe(*channels)
    listening.psubscribe("pattern:*")
    until("all is subscribed", lambda: listening.get_message() or len(r.pubsub_channels("channel:*")) == 10)
    until("patterns are subscribed", lambda: listening.get_message() or r.pubsub_numpat() >= 1)
    for channel in [*channels, "pattern:x"]:
        assert r.publish(channel, "text") >= 1
        got = []
        until("a message comes", lambda: got.append(listening.get_message(timeout=1)) or got[-1])
        assert (got[-1]["channel"], got[-1]["data"]) == (channel, "text"), got
    listening.close()


def waits(r, protocol):
    popped = []
    waiting = connect(protocol)
    thread = threading.Thread(target=lambda: popped.append(waiting.blpop("queue", 20)))
    thread.start()
    r.rpush("queue", "item")
    thread.join()
    assert [tuple(pair) for pair in popped] == [("queue", "item")], popped
    assert r.blpop("queue", 0.05) is None


async def asynchronous(protocol):
    async with redis.asyncio.Redis(host=HOST, port=PORT, protocol=protocol, decode_responses=True) as r:
        await asyncio.gather(*(r.set(f"async:{number}", number) for number in range(100)))
        got = await asyncio.gather(*(r.get(f"async:{number}") for number in range(100)))
        assert got == [str(number) for number in range(100)]
        async with r.pipeline(transaction=True) as pipe:
            assert await pipe.set("{t}b", 1).incr("{t}b").execute() == [True, 2]
        assert await r.blpop("never", 0.05) is None


def outlives(r):
    keys = [f"after:{number}" for number in range(50)]
    [r.set(key, "before") for key in keys]
    os.kill(SHARD, signal.SIGKILL)

    def all_set():
        try:
            return all(r.set(key, "after") for key in keys)
        except redis.exceptions.RedisError:
            return False

    until("all keys are served", all_set)
    assert r.mget(keys) == ["after"] * 50


for protocol in (2, 3):
    client = connect(protocol)
    everyday(client)
    pipelines(client)
    scripts(client)
    messages(client, protocol)
    waits(client, protocol)
    asyncio.run(asynchronous(protocol))
outlives(connect(3))
