// The driver of go-redis's Ring: a library as a system under test. It is told loads on its standard input, one JSON
// object a line, and answers each with what became of it, as the drivers of bench/src/drive do.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

type load struct {
	Operation string   `json:"operation"`
	Tasks     int      `json:"tasks"`
	Batch     int      `json:"batch"`
	Value     int      `json:"value"`
	Keys      int      `json:"keys"`
	Zipf      bool     `json:"zipf"`
	Seconds   float64  `json:"seconds"`
	Rate      *float64 `json:"rate"`
}

type latency struct {
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Longest float64 `json:"longest"`
}

type outcome struct {
	Operations  int64    `json:"operations"`
	Seconds     float64  `json:"seconds"`
	CPU         float64  `json:"cpu"`
	Allocations uint64   `json:"allocations"`
	Latency     *latency `json:"latency"`
	Error       *string  `json:"error"`
}

const script = "return redis.call('GET', KEYS[1])"

// most operations that may be under way in an open loop. Who needs more does not keep up with the rate.
const most = 50_000

var ctx = context.Background()

func main() {
	threads := flag.Int("threads", 1, "processors to run on (GOMAXPROCS)")
	shards := flag.String("shards", "", "URLs of the shards")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	addresses := map[string]string{}
	for at, url := range strings.Split(*shards, ",") {
		addresses[fmt.Sprintf("shard%d", at)] = strings.TrimPrefix(url, "redis://")
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: addresses})
	check(ring.Ping(ctx).Err())
	out := json.NewEncoder(os.Stdout)
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		check(err)
		var asked load
		check(json.Unmarshal(line, &asked))
		check(out.Encode(measured(ring, asked)))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func measured(ring *redis.Ring, asked load) outcome {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	started, cpu := time.Now(), cpuSeconds()
	var result outcome
	switch {
	case asked.Operation == "fill":
		result = fill(ring, asked)
	case asked.Rate != nil:
		result = open(ring, asked)
	default:
		result = closed(ring, asked)
	}
	result.Seconds = time.Since(started).Seconds()
	result.CPU = cpuSeconds() - cpu
	runtime.ReadMemStats(&after)
	result.Allocations = after.Mallocs - before.Mallocs
	return result
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func closed(ring *redis.Ring, asked load) outcome {
	var over atomic.Bool
	var total atomic.Int64
	var tasks sync.WaitGroup
	table := zipfTable(asked)
	for seed := range asked.Tasks {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			total.Add(task(ring, asked, table, uint64(seed), &over))
		}()
	}
	time.Sleep(time.Duration(asked.Seconds * float64(time.Second)))
	over.Store(true)
	tasks.Wait()
	return outcome{Operations: total.Load()}
}

func task(ring *redis.Ring, asked load, table []int, seed uint64, over *atomic.Bool) int64 {
	random := rand.New(rand.NewPCG(seed, 0))
	draw := func() string {
		if table != nil {
			return key(table[random.IntN(len(table))])
		}
		return key(random.IntN(asked.Keys))
	}
	value := strings.Repeat("x", asked.Value)
	keys := make([]string, asked.Batch)
	var done int64
	for !over.Load() {
		switch asked.Operation {
		case "mixed", "get", "set":
			get := asked.Operation == "get" || asked.Operation == "mixed" && done%2 == 0
			one(ring, draw(), value, get)
			done++
		case "eval":
			check(ring.Eval(ctx, script, []string{draw()}).Err())
			done++
		default:
			for at := range keys {
				keys[at] = draw()
			}
			done += many(ring, asked.Operation, keys, value)
		}
	}
	return done
}

func one(ring *redis.Ring, key, value string, get bool) {
	if get {
		check(ring.Get(ctx, key).Err())
	} else {
		check(ring.Set(ctx, key, value, 0).Err())
	}
}

// many keys in one operation. Ring sends MGET and MSET to the shard of the first key, whatever the others are, so
// commands with keys on several shards are pipelines of single ones, as its users write them.
func many(ring *redis.Ring, operation string, keys []string, value string) int64 {
	_, err := ring.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for at, key := range keys {
			if operation == "mset" || operation == "fill" || operation == "pipeline" && at%2 == 1 {
				pipe.Set(ctx, key, value, 0)
			} else {
				pipe.Get(ctx, key)
			}
		}
		return nil
	})
	check(err)
	if operation == "pipeline" {
		return int64(len(keys))
	}
	return 1
}

func fill(ring *redis.Ring, asked load) outcome {
	value := strings.Repeat("x", asked.Value)
	for from := 0; from < asked.Keys; from += asked.Batch {
		var keys []string
		for number := from; number < min(from+asked.Batch, asked.Keys); number++ {
			keys = append(keys, key(number))
		}
		many(ring, "fill", keys, value)
	}
	return outcome{Operations: int64(asked.Keys)}
}

func open(ring *redis.Ring, asked load) outcome {
	random := rand.New(rand.NewPCG(1, 0))
	value := strings.Repeat("x", asked.Value)
	total := int(asked.Seconds * *asked.Rate)
	took := make([]time.Duration, 0, total)
	var lock sync.Mutex
	var tasks sync.WaitGroup
	room := make(chan struct{}, most)
	var failed *string
	started := time.Now()
	for number := range total {
		due := started.Add(time.Duration(float64(number) / *asked.Rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		select {
		case room <- struct{}{}:
		default:
			text := "it does not keep up with the rate"
			failed = &text
		}
		if failed != nil {
			break
		}
		key := key(random.IntN(asked.Keys))
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			one(ring, key, value, number%2 == 0)
			elapsed := time.Since(due)
			lock.Lock()
			took = append(took, elapsed)
			lock.Unlock()
			<-room
		}()
	}
	tasks.Wait()
	slices.Sort(took)
	at := func(quantile float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[int(quantile*float64(len(took)-1))]) / 1e6
	}
	return outcome{
		Operations: int64(len(took)),
		Latency:    &latency{at(0.5), at(0.99), at(0.999), at(1)},
		Error:      failed,
	}
}

// key takes one allocation.
func key(number int) string {
	text := []byte("key:000000000000")
	for at := len(text) - 1; number > 0; at-- {
		text[at] = byte('0' + number%10)
		number /= 10
	}
	return string(text)
}

// zipfTable has numbers to draw from, which are distributed as Zipf says.
func zipfTable(asked load) []int {
	if !asked.Zipf {
		return nil
	}
	sums, sum := make([]float64, asked.Keys), 0.0
	for rank := range sums {
		sum += math.Pow(float64(rank+1), -0.99)
		sums[rank] = sum
	}
	random := rand.New(rand.NewPCG(7, 0))
	table := make([]int, 1<<16)
	for at := range table {
		table[at] = min(sort.SearchFloat64s(sums, random.Float64()*sum), asked.Keys-1)
	}
	return table
}
