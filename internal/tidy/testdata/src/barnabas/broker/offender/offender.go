package offender

import (
	"context"
	"math/rand/v2"
	"os"   // want `import of os: files are behind env.FS`
	"sync" // want `import of sync: use env.Mutex`
	"sync/atomic"
	"time"
)

var count atomic.Int64

func offend(ctx context.Context) {
	_ = time.Now()              // want `time.Now: use env.Clock`
	sleep := time.Sleep         // want `time.Sleep: use env.Clock`
	sleep(3 * time.Millisecond) // naming it was the offence
	_ = rand.IntN(3)            // want `draws from a global generator`
	_ = rand.New(rand.NewPCG(1, 2)).IntN(3)
	_, cancel := context.WithTimeout(ctx, 1) // want `context.WithTimeout`
	cancel()
	go cancel()    // want `go statement`
	var c chan int // want `channel type`
	c <- 1         // want `send on a channel`
	<-c            // want `receive from a channel`
	select {}      // want `select`
}

func hide() {
	defer func() { recover() }() // want `recover`
	var mu sync.Mutex
	mu.Lock()
	os.Exit(1)
	count.Add(1)
}
