// The README's read path (it is appended here) against the Redis at port os.Args[1].
// Lines on stdin: KEY VERSION PAYLOAD PATIENCE; VERSION - for no row, ! where MySQL fails.  Answers a line each: VALUE LOADS.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Args[1], MaxRetries: -1})
	loads := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Split(lines.Text(), " ")
		patience, _ := strconv.Atoi(words[3])
		load := func(context.Context) (*Row, error) {
			loads++
			version, err := strconv.ParseUint(words[1], 10, 64)
			if words[1] == "!" {
				return nil, errors.New("MySQL is down")
			} else if err != nil {
				return nil, nil
			}
			return &Row{version, words[2]}, nil
		}
		row, err := Read(context.Background(), rdb, words[0], load, 10*time.Minute, time.Duration(patience)*time.Millisecond)
		switch {
		case err != nil:
			fmt.Println("default", loads)
		case row == nil:
			fmt.Println("null", loads)
		default:
			fmt.Println(*row, loads)
		}
	}
}

