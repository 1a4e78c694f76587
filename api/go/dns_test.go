// Test. Nodes that dns names while the agent is away.

package lars

import (
	"context"
	"errors"
	"math/rand"
	"net"
	"reflect"
	"sync/atomic"
	"testing"
	"time"
)

// startDNS answers each connection with what `answer` gives for the question that came.
func startDNS(t *testing.T, answer func(request []byte) []byte) (string, *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var asked atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				id, body, err := readFrame(conn)
				if err != nil || id != idDNSRouteRequest {
					return
				}
				asked.Add(1)
				_, _ = conn.Write(answer(body))
				// Open, as dns leaves it.
				_, _, _ = readFrame(conn)
			}()
		}
	}()
	return listener.Addr().String(), &asked
}

// routeFrame is message 2.
func routeFrame(module moduleID, ips ...uint32) []byte {
	out := appendInt32(newBody(), 1, module.modID)
	out = appendInt32(out, 2, module.cmdID)
	for _, ip := range ips {
		inner := appendInt32(appendInt32(nil, 1, ip), 2, 80)
		out = appendBytes(out, 3, inner)
	}
	return frame(idDNSRouteResponse, out)
}

// clientOfNoAgent has ports at which nobody listens.
func clientOfNoAgent(t *testing.T, config Config) *Client {
	t.Helper()
	agent := startAgent(t, [3]int{}, func(received) [][]byte { return nil })
	agent.stop()
	config.Ports, config.FirstRoute, config.SharedTable = agent.ports, Never, NoTable
	return newClient(t, config)
}

func pick(t *testing.T, client *Client) string {
	t.Helper()
	host, err := client.GetHost(context.Background(), 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !host.Stale() {
		t.Errorf("%v must be marked as stale", host)
	}
	return host.Addr().String()
}

func TestDNSNamesNodesWhileTheAgentIsAway(t *testing.T) {
	module := moduleID{1, 2}
	var ips atomic.Value
	ips.Store([]uint32{1, 2})
	server, asked := startDNS(t, func([]byte) []byte {
		// What is pushed of other modules goes before.
		other := routeFrame(moduleID{1, 3}, 9)
		return append(other, routeFrame(module, ips.Load().([]uint32)...)...)
	})
	client := clientOfNoAgent(t, Config{DNS: []string{server}})
	seen := map[string]int{}
	for picks := 0; picks < 10; picks++ {
		seen[pick(t, client)]++
	}
	if seen["0.0.0.1:80"] != 5 || seen["0.0.0.2:80"] != 5 || asked.Load() != 1 {
		t.Errorf("%v after %d questions", seen, asked.Load())
	}
	host, _ := client.GetHost(context.Background(), 1, 2)
	_ = client.Report(1, 2, host.Addr(), 111, TimeUnknown)
	for picks := 0; picks < 3; picks++ {
		if one := pick(t, client); one == host.Addr().String() {
			t.Errorf("%s has failed a moment ago", one)
		}
	}
	// A node that has left the route is given no more, once the route was asked for again.
	ips.Store([]uint32{3})
	client.dns.fresh = 0
	if one := pick(t, client); one != "0.0.0.3:80" {
		t.Errorf("%s must be the one of the route", one)
	}
	// That there is no such module takes nothing away.
	ips.Store([]uint32{})
	if one := pick(t, client); one != "0.0.0.3:80" {
		t.Errorf("%s must be what was known", one)
	}
}

func TestAModuleThatDNSDoesNotKnowIsAnError(t *testing.T) {
	server, _ := startDNS(t, func([]byte) []byte { return routeFrame(moduleID{1, 2}) })
	client := clientOfNoAgent(t, Config{DNS: []string{server}})
	if _, err := client.GetHost(context.Background(), 1, 2); !errors.Is(err, ErrNoAgent) {
		t.Errorf("%v", err)
	}
}

func TestOfServersThatFailTheNextOneIsAsked(t *testing.T) {
	module := moduleID{1, 2}
	long := frame(idDNSRouteResponse, newBody())
	long[7] = 0x7f
	negative := frame(idDNSRouteResponse, newBody())
	negative[7] = 0xff
	bad := [][]byte{nil, {2, 0, 0}, long, negative, append(frame(2, newBody()), 0xff), routeFrame(moduleID{9, 9}, 1)}
	good, _ := startDNS(t, func([]byte) []byte { return routeFrame(module, 7) })
	for _, answer := range bad {
		answer := answer
		wrong, _ := startDNS(t, func([]byte) []byte { return answer })
		client := clientOfNoAgent(t, Config{DNS: []string{wrong, good, "127.0.0.1:1"}})
		if one := pick(t, client); one != "0.0.0.7:80" {
			t.Errorf("%x: %s", answer, one)
		}
	}
}

func TestWhereNoDNSAnswersItIsLeftAloneForAWhile(t *testing.T) {
	server, asked := startDNS(t, func([]byte) []byte { return []byte{2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff} })
	client := clientOfNoAgent(t, Config{DNS: []string{server}})
	client.dns.pause = time.Hour
	for picks := 0; picks < 3; picks++ {
		if _, err := client.GetHost(context.Background(), 1, 2); !errors.Is(err, ErrNoAgent) {
			t.Errorf("%v", err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d questions", asked.Load())
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	client.dns.pauseEnd = time.Time{}
	if _, err := client.GetHost(ended, 1, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestDNSIsWaitedForNoLongerThanTheCallerWants(t *testing.T) {
	module := moduleID{1, 2}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan struct{})
	defer close(end)
	server, asked := startDNS(t, func([]byte) []byte {
		cancel()
		<-end
		return nil
	})
	dns := newDNSRoutes([]string{server}, newLastGood(time.Hour))
	dns.renew(ctx, module, false, time.Hour)
	if asked.Load() != 1 || !dns.pauseEnd.IsZero() {
		t.Errorf("%d questions, a pause until %v", asked.Load(), dns.pauseEnd)
	}
	// Nor is the end of somebody else's question.
	dns.turn <- struct{}{}
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	dns.renew(ctx, module, false, time.Hour)
}

func TestNodesThatAreTooOldDoNotStandIn(t *testing.T) {
	module, now := moduleID{1, 2}, time.Now()
	good := newLastGood(time.Minute)
	good.replace(module, []Host{{bits: 1 | 80<<32}, {bits: 1 | 80<<32}, {bits: 2 | 80<<32}}, now)
	if one := good.modules[module]; len(one.hosts) != 2 {
		t.Errorf("%d nodes of 2", len(one.hosts))
	}
	for after, want := range map[time.Duration]bool{0: true, time.Minute: true, 61 * time.Second: false} {
		if good.knows(module, now.Add(after)) != want {
			t.Errorf("after %v it must be %v", after, want)
		}
	}
}

func TestEachClientAsksDNSInAnOrderOfItsOwn(t *testing.T) {
	order := func() []int {
		// As each program of an older Go begins.
		rand.Seed(1)
		return newDNSRoutes([]string{"a:1"}, newLastGood(time.Hour)).chance.Perm(64)
	}
	if one, other := order(), order(); reflect.DeepEqual(one, other) {
		t.Errorf("%v twice", one)
	}
}

func TestAddressesOfDNSAreChecked(t *testing.T) {
	for _, server := range []string{"10.0.0.5", ":7778", "a:0", "a:65536", "a:b", ""} {
		if _, err := New(Config{DNS: []string{server}}); !errors.Is(err, ErrRange) {
			t.Errorf("%q: %v", server, err)
		}
	}
	if _, err := New(Config{DNS: make([]string, dnsServersMax+1)}); !errors.Is(err, ErrRange) {
		t.Error("too many")
	}
}
