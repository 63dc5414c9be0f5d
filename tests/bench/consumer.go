// consumer MYSQL-DSN REDIS-ADDRESS STREAMS LANES WORKERS COUNT
//
// What a careful team writes in an afternoon: a consumer group, 1,000 entries a read, one multi-row
// upsert for them in the order of the key, XACK after the commit.  At least once, one statement form,
// no ledger, no fold, no dead letters.  Prints: changes seconds
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func upsert(db *sql.DB, entries []redis.XMessage) {
	sort.Slice(entries, func(i, j int) bool {
		a, _ := strconv.ParseUint(entries[i].Values["id"].(string), 10, 64)
		b, _ := strconv.ParseUint(entries[j].Values["id"].(string), 10, 64)
		return a < b
	})
	var text strings.Builder
	text.WriteString("INSERT INTO t (id,name,email,city,score) VALUES ")
	args := make([]any, 0, 5*len(entries))
	for i, e := range entries {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString("(?,?,?,?,?)")
		args = append(args, e.Values["id"], e.Values["name"], e.Values["email"], e.Values["city"], e.Values["score"])
	}
	text.WriteString(" ON DUPLICATE KEY UPDATE name=VALUES(name),email=VALUES(email),city=VALUES(city),score=VALUES(score)")
	_, err := db.Exec(text.String(), args...) // autocommit: a transaction of its own
	check(err)
}

// One goroutine: its lanes, COUNT so that one read brings 1,000 entries of all of them.
func consume(db *sql.DB, rdb *redis.Client, lanes []string, total int) {
	streams := append([]string{}, lanes...)
	for range lanes {
		streams = append(streams, ">")
	}
	for done := 0; done < total; {
		got, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "go", Consumer: lanes[0],
			Streams: streams, Count: int64(1000 / len(lanes)), Block: time.Second}).Result()
		if err == redis.Nil {
			continue
		}
		check(err)
		var batch []redis.XMessage
		for _, s := range got {
			batch = append(batch, s.Messages...)
		}
		upsert(db, append([]redis.XMessage{}, batch...))
		pipe := rdb.Pipeline()
		for _, s := range got {
			ids := make([]string, len(s.Messages))
			for i, m := range s.Messages {
				ids[i] = m.ID
			}
			pipe.XAck(ctx, s.Stream, "go", ids...)
		}
		_, err = pipe.Exec(ctx)
		check(err)
		done += len(batch)
	}
}

func main() {
	lanes, _ := strconv.Atoi(os.Args[4])
	workers, _ := strconv.Atoi(os.Args[5])
	count, _ := strconv.Atoi(os.Args[6])
	db, err := sql.Open("mysql", os.Args[1]) // interpolateParams: no round trip to prepare
	check(err)
	db.SetMaxIdleConns(workers)
	rdb := redis.NewClient(&redis.Options{Addr: os.Args[2]})
	mine := make([][]string, workers)
	for i := 0; i < lanes; i++ {
		stream := fmt.Sprintf("%s%d", os.Args[3], i)
		check(rdb.XGroupCreateMkStream(ctx, stream, "go", "0").Err())
		mine[i%workers] = append(mine[i%workers], stream)
	}
	start, all := time.Now(), sync.WaitGroup{}
	for i := range mine {
		total := 0
		for _, stream := range mine[i] {
			n, err := rdb.XLen(ctx, stream).Result()
			check(err)
			total += int(n)
		}
		all.Add(1)
		go func(lanes []string) { defer all.Done(); consume(db, rdb, lanes, total) }(mine[i])
	}
	all.Wait()
	fmt.Println(count, time.Since(start).Seconds())
}
