// Shell. Measures the Go client by lines, see bench/README.md, "Programs of the languages".

// Command benchdriver measures the Go client by lines on its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"lars"
)

// callsPerLook is how many echoes are made between two looks at the clock.
const callsPerLook = 200

type words map[string]string

func (w words) number(name string) int {
	value, err := strconv.Atoi(w[name])
	if err != nil {
		panic(fmt.Sprintf("%s must be a number: it is %q", name, w[name]))
	}
	return value
}

// round makes some calls, and says how many, and how many of them failed.
type round func() (calls, failed int)

func pickRound(client *lars.Client, modules int, hasReport bool) round {
	ctx := context.Background()
	return func() (int, int) {
		failed := 0
		for modID := uint32(1); modID <= uint32(modules); modID++ {
			host, err := client.GetHost(ctx, modID, 1)
			if err != nil {
				failed++
				continue
			}
			if hasReport && client.Report(modID, 1, host.Addr(), 0, time.Millisecond) != nil {
				failed++
			}
		}
		return modules, failed
	}
}

func echoRound(port int) (round, error) {
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, err
	}
	message, answer := make([]byte, 21), make([]byte, 64)
	return func() (int, int) {
		failed := 0
		for i := 0; i < callsPerLook; i++ {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conn.Write(message); err != nil {
				failed++
				continue
			}
			if _, err := conn.Read(answer); err != nil {
				failed++
			}
		}
		return callsPerLook, failed
	}, nil
}

type result struct {
	Mode    string  `json:"mode"`
	Threads int     `json:"threads"`
	Calls   int     `json:"calls"`
	Failed  int     `json:"failed"`
	Ns      float64 `json:"ns"`
	CPUNs   float64 `json:"cpuNs"`
}

func processorTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func measure(w words, mode string, threads int, span time.Duration) (result, error) {
	config := lars.Config{Port: w.number("port"), SharedTable: w["table"], Deadline: time.Second}
	if mode == "udp" {
		config.SharedTable = lars.NoTable
	}
	client, err := lars.New(config)
	if err != nil {
		return result{}, err
	}
	defer client.Close()
	total := result{Mode: mode, Threads: threads}
	var mutex sync.Mutex
	var group sync.WaitGroup
	var wall time.Duration
	rounds := make([]round, threads)
	for at := range rounds {
		rounds[at] = pickRound(client, w.number("modules"), mode != "pick")
		if mode == "echo" {
			if rounds[at], err = echoRound(w.number("echo")); err != nil {
				return result{}, err
			}
		}
		rounds[at]() // not counted: caches and modules are cold
	}
	cpu := processorTime()
	for _, one := range rounds {
		group.Add(1)
		go func(one round) {
			defer group.Done()
			calls, failed, start := 0, 0, time.Now()
			for calls == 0 || time.Since(start) < span {
				made, bad := one()
				calls += made
				failed += bad
			}
			mutex.Lock()
			defer mutex.Unlock()
			wall += time.Since(start)
			total.Calls += calls
			total.Failed += failed
		}(one)
	}
	group.Wait()
	total.Ns = float64(wall) / float64(total.Calls)
	total.CPUNs = float64(processorTime()-cpu) / float64(total.Calls)
	return total, nil
}

func main() {
	w := words{}
	for _, word := range os.Args[1:] {
		name, value, _ := strings.Cut(word, "=")
		w[name] = value
	}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var mode string
		var threads, ms int
		if _, err := fmt.Sscan(input.Text(), &mode, &threads, &ms); err != nil {
			fmt.Fprintf(os.Stderr, "A line must be MODE THREADS MS: it is %q\n", input.Text())
			os.Exit(2)
		}
		one, err := measure(w, mode, threads, time.Duration(ms)*time.Millisecond)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		text, err := json.Marshal(one)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
