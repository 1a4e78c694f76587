// Test. An agent of three sockets whose answers the test decides.

package lars

import (
	"math/rand"
	"net"
	"sync"
	"testing"
	"time"
)

const patient = 20 * time.Second

// received is a datagram as it came.
type received struct {
	id       int32
	seq      uint32
	module   moduleID
	datagram []byte
}

type fakeAgent struct {
	ports [portsPerAgent]int
	mutex sync.Mutex
	came  []received
	conns []*net.UDPConn
}

// startAgent listens at free ports, or at those given, and answers as behave says.
func startAgent(t *testing.T, ports [3]int, behave func(received) [][]byte) *fakeAgent {
	t.Helper()
	agent := &fakeAgent{}
	for index, port := range ports {
		conn := listen(t, port)
		agent.conns = append(agent.conns, conn)
		agent.ports[index] = conn.LocalAddr().(*net.UDPAddr).Port
		go agent.serve(conn, behave)
	}
	t.Cleanup(agent.stop)
	return agent
}

// listen takes a port that somebody may come back to; 0 is one that is given to nobody else.
func listen(t *testing.T, port int) *net.UDPConn {
	t.Helper()
	for {
		wanted := port
		if wanted == 0 {
			// Below those that the system gives to any socket that asks for none.
			wanted = 15_000 + rand.Intn(15_000)
		}
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: wanted})
		if err == nil {
			return conn
		}
		if port != 0 {
			t.Fatal(err)
		}
	}
}

func (a *fakeAgent) stop() {
	for _, conn := range a.conns {
		conn.Close()
	}
}

func (a *fakeAgent) serve(conn *net.UDPConn, behave func(received) [][]byte) {
	buffer := make([]byte, datagramBytesMax)
	for {
		size, caller, err := conn.ReadFromUDP(buffer)
		if err != nil {
			return
		}
		one := readQuestion(append([]byte(nil), buffer[:size]...))
		a.mutex.Lock()
		a.came = append(a.came, one)
		a.mutex.Unlock()
		for _, reply := range behave(one) {
			_, _ = conn.WriteToUDP(reply, caller)
		}
	}
}

// count says how many messages of an id came; of any for 0.
func (a *fakeAgent) count(id int32) int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	count := 0
	for _, one := range a.came {
		if id == 0 || one.id == id {
			count++
		}
	}
	return count
}

func readQuestion(datagram []byte) received {
	one := received{id: int32(datagram[0]), datagram: datagram}
	first := 1
	if one.id == idGetHostRequest || one.id == idExplainRequest {
		first = 2
	}
	_ = eachField(datagram[headBytes:], func(field wireField) error {
		switch {
		case field.kind != wireVarint:
		case field.number == first:
			one.module.modID = uint32(field.value)
		case field.number == first+1:
			one.module.cmdID = uint32(field.value)
		case field.number == 1:
			one.seq = uint32(field.value)
		}
		return nil
	})
	return one
}

func hostResponse(q received, retcode RetCode, ip uint32, port uint16) []byte {
	out := appendUint32(newBody(), 1, q.seq)
	out = appendInt32(out, 2, q.module.modID)
	out = appendInt32(out, 3, q.module.cmdID)
	out = appendInt32(out, 4, uint32(retcode))
	if retcode == Success {
		out = appendBytes(out, 5, appendInt32(appendInt32(nil, 1, ip), 2, uint32(port)))
	}
	return frame(idGetHostResponse, out)
}

func routeResponse(module moduleID, ips ...uint32) []byte {
	out := appendInt32(appendInt32(newBody(), 1, module.modID), 2, module.cmdID)
	for _, ip := range ips {
		out = appendBytes(out, 3, appendInt32(appendInt32(nil, 1, ip), 2, 80))
	}
	return frame(idGetRouteResponse, out)
}

func init() { rand.Seed(time.Now().UnixNano()) } // Go 1.19 begins each time alike

// oneNode answers with 10.0.0.1:80 always.
func oneNode(q received) [][]byte {
	switch q.id {
	case idGetHostRequest:
		return [][]byte{hostResponse(q, Success, 0x0a000001, 80)}
	case idGetRouteRequest:
		return [][]byte{routeResponse(q.module, 0x0a000001)}
	}
	return nil
}

func newClient(t *testing.T, config Config) *Client {
	t.Helper()
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// until waits for something to become true.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}
