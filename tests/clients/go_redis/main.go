// go-redis as its users use it, in RESP2 and RESP3.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(what string, is bool) {
	if !is {
		panic(what)
	}
}

func connect(protocol int) *redis.Client {
	address := net.JoinHostPort(os.Getenv("RENDIS_HOST"), os.Getenv("RENDIS_PORT"))
	return redis.NewClient(&redis.Options{Addr: address, Protocol: protocol, ReadTimeout: 20 * time.Second})
}

func until(what string, so func() bool) {
	deadline := time.Now().Add(20 * time.Second)
	for !so() {
		check(what+": not within 20 s", time.Now().Before(deadline))
		time.Sleep(2 * time.Millisecond)
	}
}

func everyday(r *redis.Client) {
	must(r.FlushAll(ctx).Err())
	must(r.Set(ctx, "string", "value", 0).Err())
	check("GET", r.Get(ctx, "string").Val() == "value")
	check("a key that is not there", errors.Is(r.Get(ctx, "none").Err(), redis.Nil))
	check("SETNX", !r.SetNX(ctx, "string", "other", 0).Val())
	must(r.Set(ctx, "short", 7, 1000*time.Second).Err())
	check("TTL", r.TTL(ctx, "short").Val() > 900*time.Second)
	check("HSET", r.HSet(ctx, "hash", "a", 1, "b", 2).Val() == 2)
	hash := r.HGetAll(ctx, "hash").Val()
	check("HGETALL", len(hash) == 2 && hash["b"] == "2")
	must(r.ZAdd(ctx, "scores", redis.Z{Score: 1.5, Member: "one"}, redis.Z{Score: 2, Member: "two"}).Err())
	ranked := r.ZRangeWithScores(ctx, "scores", 0, -1).Val()
	check("ZRANGE", len(ranked) == 2 && ranked[0].Score == 1.5 && ranked[1].Member == "two")
	must(r.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: "1-1", Values: []string{"f", "v"}}).Err())
	entries := r.XRange(ctx, "stream", "-", "+").Val()
	check("XRANGE", len(entries) == 1 && entries[0].Values["f"] == "v")
	check("LPUSH", r.LPush(ctx, "list", "a", "b").Val() == 2)
	check("SADD", r.SAdd(ctx, "set", "x").Val() == 1 && r.SMembers(ctx, "set").Val()[0] == "x")
	var pairs []any
	var many []string
	for number := range 100 {
		key := fmt.Sprintf("many:%d", number)
		pairs, many = append(pairs, key, strconv.Itoa(number)), append(many, key)
	}
	must(r.MSet(ctx, pairs...).Err())
	values := r.MGet(ctx, many...).Val()
	check("MGET", len(values) == 100 && values[42] == "42")
	check("DEL", r.Del(ctx, many[50:]...).Val() == 50)
	keys := r.Keys(ctx, "*").Val()
	check("DBSIZE", r.DBSize(ctx).Val() == int64(len(keys)) && len(keys) == 57)
	var scanned []string
	for at := r.Scan(ctx, 0, "*", 7).Iterator(); at.Next(ctx); {
		scanned = append(scanned, at.Val())
	}
	sort.Strings(scanned)
	sort.Strings(keys)
	check("SCAN", strings.Join(scanned, " ") == strings.Join(keys, " "))
	check("INFO", strings.Contains(r.Info(ctx, "server").Val(), "redis_version"))
}

func pipelines(r *redis.Client) {
	replies, err := r.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for number := range 1000 {
			pipe.Incr(ctx, fmt.Sprintf("count:%d", number%50))
		}
		return nil
	})
	must(err)
	check("the last of a pipeline", replies[999].(*redis.IntCmd).Val() == 20)
	replies, err = r.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "{t}a", 1, 0)
		pipe.Incr(ctx, "{t}a")
		return nil
	})
	must(err)
	check("a transaction", replies[1].(*redis.IntCmd).Val() == 2)
	_, err = r.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		for number := range 4 {
			pipe.Set(ctx, fmt.Sprintf("count:%d", number), 1, 0)
		}
		return nil
	})
	check(fmt.Sprintf("keys of several shards in one transaction: %v", err), err != nil)

	// Optimistic locking: nothing is lost.
	var done sync.WaitGroup
	for range 4 {
		done.Add(1)
		go func() {
			defer done.Done()
			for range 20 {
				add := func(tx *redis.Tx) error {
					old, err := tx.Get(ctx, "{t}counter").Int()
					if err != nil && !errors.Is(err, redis.Nil) {
						return err
					}
					_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
						pipe.Set(ctx, "{t}counter", old+1, 0)
						return nil
					})
					return err
				}
				for {
					err := r.Watch(ctx, add, "{t}counter")
					if err == nil {
						break
					}
					check(err.Error(), errors.Is(err, redis.TxFailedErr))
				}
			}
		}()
	}
	done.Wait()
	check("a counter", r.Get(ctx, "{t}counter").Val() == "80")
}

func scripts(r *redis.Client) {
	script := redis.NewScript("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}")
	for number := range 20 {
		key := fmt.Sprintf("script:%d", number)
		result, err := script.Run(ctx, r, []string{key}, 3).Slice()
		must(err)
		check("a script", result[0] == key && result[1] == int64(3))
	}
}

func messages(r *redis.Client) {
	channels := []string{"channel:1", "channel:2", "channel:3", "channel:4"}
	listening := r.Subscribe(ctx, channels...)
	must(listening.PSubscribe(ctx, "pattern:*"))
	for range len(channels) + 1 {
		_, err := listening.Receive(ctx)
		must(err)
	}
	for _, channel := range append(channels, "pattern:x") {
		check("a listener", r.Publish(ctx, channel, "text").Val() >= 1)
		message, err := listening.ReceiveMessage(ctx)
		must(err)
		check("a message", message.Channel == channel && message.Payload == "text")
	}
	must(listening.Close())
	sharded := r.SSubscribe(ctx, "sharded")
	_, err := sharded.Receive(ctx)
	must(err)
	check("a sharded listener", r.SPublish(ctx, "sharded", "text").Val() == 1)
	message, err := sharded.ReceiveMessage(ctx)
	must(err)
	check("a sharded message", message.Payload == "text")
	must(sharded.Close())
}

func waits(r *redis.Client) {
	popped := make(chan []string)
	go func() { popped <- r.BLPop(ctx, 20*time.Second, "queue").Val() }()
	must(r.RPush(ctx, "queue", "item").Err())
	check("a blocking pop", strings.Join(<-popped, " ") == "queue item")
	check("a wait in vain", errors.Is(r.BLPop(ctx, time.Second, "queue").Err(), redis.Nil))
}

func outlives(r *redis.Client) {
	var keys []string
	for number := range 50 {
		keys = append(keys, fmt.Sprintf("after:%d", number))
		must(r.Set(ctx, keys[number], "before", 0).Err())
	}
	shard, err := strconv.Atoi(os.Getenv("RENDIS_SHARD"))
	must(err)
	must(syscall.Kill(shard, syscall.SIGKILL))
	until("all keys are served", func() bool {
		for _, key := range keys {
			if r.Set(ctx, key, "after", 0).Err() != nil {
				return false
			}
		}
		return true
	})
	for _, value := range r.MGet(ctx, keys...).Val() {
		check("what was written after a shard died", value == "after")
	}
}

func main() {
	for _, protocol := range []int{2, 3} {
		r := connect(protocol)
		everyday(r)
		pipelines(r)
		scripts(r)
		messages(r)
		waits(r)
		must(r.Close())
	}
	outlives(connect(3))
}
