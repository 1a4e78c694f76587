// Test. The client against an agent whose answers the test decides.

package lars

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestManyGoroutinesGetEachTheirOwnAnswer(t *testing.T) {
	agent := startAgent(t, [3]int{}, func(q received) [][]byte {
		return [][]byte{hostResponse(q, Success, q.module.cmdID, 80)}
	})
	client := newClient(t, Config{Ports: agent.ports, Deadline: patient})
	var group sync.WaitGroup
	for worker := uint32(0); worker < 64; worker++ {
		group.Add(1)
		go func(worker uint32) {
			defer group.Done()
			for i := uint32(0); i < 50; i++ {
				cmdID := worker<<8 | i
				host, err := client.GetHost(context.Background(), 1, cmdID)
				if err != nil || ipNumber(host.Addr().Addr()) != cmdID {
					t.Errorf("%d: %v %v", cmdID, host, err)
				}
			}
		}(worker)
	}
	group.Wait()
	if stats := client.Stats(); stats.Pending != 0 || stats.Garbage != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestQuestionsBeyondTheLimitAreRefusedAndCloseEndsTheOthers(t *testing.T) {
	agent := startAgent(t, [3]int{}, func(received) [][]byte { return nil })
	client := newClient(t, Config{Ports: agent.ports, PendingMax: 1})
	ended := make(chan error)
	go func() {
		_, err := client.GetRoute(context.Background(), 1, 1, Deadline(time.Minute))
		ended <- err
	}()
	until(t, "the question", func() bool { return client.Stats().Pending == 1 })
	if _, err := client.GetRoute(context.Background(), 1, 1); !errors.Is(err, ErrLimit) {
		t.Errorf("beyond the limit: %v", err)
	}
	client.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestAContextEndsAQuestionAtOnce(t *testing.T) {
	agent := startAgent(t, [3]int{}, func(received) [][]byte { return nil })
	client := newClient(t, Config{Ports: agent.ports, Deadline: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := client.GetHost(ctx, 1, 1)
		ended <- err
	}()
	until(t, "the question", func() bool { return agent.count(idGetHostRequest) > 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	short, cancelShort := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancelShort()
	if _, err := client.GetHost(short, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
}

func TestNodesStandInAlsoWhenTheContextIsShort(t *testing.T) {
	isSilent := make(chan struct{})
	agent := startAgent(t, [3]int{}, func(q received) [][]byte {
		select {
		case <-isSilent:
			return nil
		default:
			return oneNode(q)
		}
	})
	client := newClient(t, Config{Ports: agent.ports, Deadline: patient})
	if _, err := client.GetHost(context.Background(), 1, 1); err != nil {
		t.Fatal(err)
	}
	close(isSilent)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	host, err := client.GetHost(ctx, 1, 1)
	if err != nil || !host.Stale() || host.Addr() != node(0x0a000001).Addr() {
		t.Errorf("%+v %v", host, err)
	}
}

func TestARefusalDoesNotEatTheNextDatagram(t *testing.T) {
	agent := startAgent(t, [3]int{}, oneNode)
	agent.stop()
	checked, err := checkConfig(Config{Ports: agent.ports})
	if err != nil {
		t.Fatal(err)
	}
	one, err := openLine(&checked, 2, &counters{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.conn.Close()
	if _, err := one.send(getRouteRequest(moduleID{1, 1})); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return hasRefusal(t, one) })
	again := startAgent(t, agent.ports, oneNode)
	if isRefused, err := one.send(getRouteRequest(moduleID{1, 1})); isRefused || err != nil {
		t.Errorf("refused %v, %v", isRefused, err)
	}
	until(t, "the datagram", func() bool { return again.count(0) == 1 })
}

// hasRefusal looks without taking it.
func hasRefusal(t *testing.T, one *line) bool {
	t.Helper()
	has := false
	err := one.raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		has = err == syscall.ECONNREFUSED
		if has {
			// Reading took the news: refuse once more, so that it waits again.
			_, _ = syscall.Write(int(fd), make([]byte, headBytes))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return has
}

func TestANameThatDoesNotResolveIsAConnectError(t *testing.T) {
	client := newClient(t, Config{Hostname: "no-such-host.invalid", FirstRoute: Never})
	if _, err := client.GetHost(context.Background(), 1, 1); !errors.Is(err, ErrConnect) {
		t.Errorf("%v", err)
	}
	if err := client.Report(1, 1, node(1).Addr(), 0, 0); err != nil || client.Stats().Dropped != 1 {
		t.Errorf("%v %+v", err, client.Stats())
	}
}

func TestOneGoroutineAsksForAllThatWaitForARoute(t *testing.T) {
	var mutex sync.Mutex
	questions := 0
	agent := startAgent(t, [3]int{}, func(q received) [][]byte {
		mutex.Lock()
		defer mutex.Unlock()
		if q.id == idGetRouteRequest {
			questions++
		}
		switch {
		case questions > 3:
			return oneNode(q)
		case q.id == idGetRouteRequest:
			return [][]byte{routeResponse(q.module)}
		}
		return [][]byte{hostResponse(q, NoExist, 0, 0)}
	})
	client := newClient(t, Config{Ports: agent.ports})
	var group sync.WaitGroup
	for i := 0; i < 16; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if _, err := client.GetHost(context.Background(), 1, 1, FirstRoute(patient)); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if count := agent.count(idGetRouteRequest); count < 4 || count > 16 {
		t.Errorf("%d questions for 16 goroutines", count)
	}
}

func TestACallThatIsCancelledIsNotReported(t *testing.T) {
	agent := startAgent(t, [3]int{}, oneNode)
	client := newClient(t, Config{Ports: agent.ports, Deadline: patient})
	ctx, cancel := context.WithCancel(context.Background())
	err := client.Call(ctx, 1, 1, func(ctx context.Context, _ Attempt) error {
		cancel()
		return ctx.Err()
	}, Retries(3))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := client.Report(1, 1, node(9).Addr(), 0, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "the report", func() bool { return agent.count(idReportRequest) > 0 })
	if count := agent.count(idReportRequest); count != 1 {
		t.Errorf("%d reports", count)
	}
}

func TestTheTimeOfACallEndsItsContext(t *testing.T) {
	agent := startAgent(t, [3]int{}, oneNode)
	client := newClient(t, Config{Ports: agent.ports, Deadline: patient})
	err := client.Call(context.Background(), 1, 1, func(ctx context.Context, _ Attempt) error {
		<-ctx.Done()
		return fmt.Errorf("fetch: %w", ctx.Err())
	}, Timeout(50*time.Millisecond), Retries(3))
	var timed net.Error
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if errors.As(err, &timed) && !timed.Timeout() {
		t.Errorf("%v is no time-out", err)
	}
	until(t, "the report", func() bool { return agent.count(idReportRequest) == 1 })
}

func TestDatagramsToARemoteAgentAreSealedAndAnswersMustBe(t *testing.T) {
	secret := []byte("the shared secret")
	agent := startAgent(t, [3]int{}, func(q received) [][]byte {
		stamp := q.datagram[len(q.datagram)-sealBytes+3 : len(q.datagram)-sealMacBytes]
		good := append(hostResponse(q, Success, 0x0a000001, 80), sealFieldHead...)
		good = append(good, stamp...)
		good[4] = byte(len(good) + sealMacBytes - headBytes)
		good = append(good, sealMac("lars answer", good, secret)...)
		bad := append([]byte(nil), good...)
		bad[len(bad)-1] ^= 1
		return [][]byte{hostResponse(q, Success, 0x0a000066, 80), bad, good}
	})
	client := newClient(t, Config{Ports: agent.ports, Deadline: patient, Token: secret})
	if client.settings.secret != nil {
		t.Error("loopback wants no proof")
	}
	client.settings.secret = secret
	host, err := client.GetHost(context.Background(), 1, 1)
	if err != nil || host.Addr() != node(0x0a000001).Addr() || client.Stats().Foreign != 2 {
		t.Errorf("%v %v %+v", host, err, client.Stats())
	}
}
