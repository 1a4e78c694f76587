// Shell. Routes from dns, for the time when the agent does not answer.

package lars

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand"
	"net"
	"time"
)

const (
	idDNSRouteRequest  = 1
	idDNSRouteResponse = 2
	// dnsServersMax: addresses of Config.DNS.
	dnsServersMax = 16
	// dnsFresh: a route of dns is asked for again when it is older, dnsPause: dns is asked again after so
	// long when none answered.
	dnsFresh = 5 * time.Second
	dnsPause = time.Second
	// dnsBytesMax: longest body of a frame, dnsFramesMax: frames before the answer, as of other modules.
	dnsBytesMax  = 65527
	dnsFramesMax = 100
	// dnsModulesMax: modules of which is known when they were asked for; of more all are asked for anew.
	dnsModulesMax = 1024
)

// dnsRoutes asks dns in the original protocol: one connection for each question.
type dnsRoutes struct {
	servers []string
	good    *lastGood
	// turn is full while a goroutine asks; what follows belongs to that one.
	turn         chan struct{}
	chance       *rand.Rand
	asked        map[moduleID]time.Time
	pauseEnd     time.Time
	fresh, pause time.Duration
}

// newDNSRoutes is nil without servers. What dns names goes to the nodes that stand in.
func newDNSRoutes(servers []string, good *lastGood) *dnsRoutes {
	if len(servers) == 0 || good.keep == 0 {
		return nil
	}
	return &dnsRoutes{
		servers: servers,
		good:    good,
		turn:    make(chan struct{}, 1),
		chance:  rand.New(rand.NewSource(randomSeed())),
		asked:   map[moduleID]time.Time{},
		fresh:   dnsFresh,
		pause:   dnsPause,
	}
}

// renew asks for a route that was not asked for lately, and waits for it as long as `wait`. Who knows
// nodes does not wait while another asks.
func (d *dnsRoutes) renew(
	ctx context.Context, module moduleID, hasNodes bool, wait time.Duration,
) {
	if d == nil || ctx.Err() != nil {
		return
	}
	if !d.begin(ctx, hasNodes) {
		return
	}
	defer func() { <-d.turn }()
	now := time.Now()
	if now.Before(d.pauseEnd) || now.Sub(d.asked[module]) < d.fresh {
		return
	}
	hosts, err := d.ask(ctx, module, now.Add(wait))
	now = time.Now()
	if err != nil {
		// That the caller did not wait for it says nothing about dns.
		if ctx.Err() == nil {
			d.pauseEnd = now.Add(d.pause)
		}
		return
	}
	if len(d.asked) >= dnsModulesMax {
		d.asked = map[moduleID]time.Time{}
	}
	d.asked[module] = now
	// That there are none takes nothing away, as from an agent.
	if len(hosts) > 0 {
		// There is room for some; each client has others.
		d.chance.Shuffle(len(hosts), func(a, b int) { hosts[a], hosts[b] = hosts[b], hosts[a] })
		d.good.replace(module, hosts, now)
	}
}

// begin is true when it is this goroutine's turn to ask.
func (d *dnsRoutes) begin(ctx context.Context, hasNodes bool) bool {
	if hasNodes {
		select {
		case d.turn <- struct{}{}:
			return true
		default:
			return false
		}
	}
	select {
	case d.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask asks the servers one after the other, begun by chance; each has its share of the time.
func (d *dnsRoutes) ask(ctx context.Context, module moduleID, end time.Time) ([]Host, error) {
	var fault error
	order := d.chance.Perm(len(d.servers))
	for tried, index := range order {
		left := time.Until(end) / time.Duration(len(order)-tried)
		hosts, err := askDNS(ctx, d.servers[index], module, time.Now().Add(left))
		if err == nil {
			return hosts, nil
		}
		fault = err
	}
	return nil, fault
}

// askDNS gives the nodes of a module by one server; none when it knows no such module.
func askDNS(
	ctx context.Context, server string, module moduleID, end time.Time,
) ([]Host, error) {
	dialer := net.Dialer{Deadline: end}
	conn, err := dialer.DialContext(ctx, "tcp4", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(end); err != nil {
		return nil, err
	}
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-ctx.Done():
			// Ends what is read or written now.
			_ = conn.SetDeadline(time.Unix(1, 0))
		case <-answered:
		}
	}()
	request := appendInt32(newBody(), 1, module.modID)
	request = frame(idDNSRouteRequest, appendInt32(request, 2, module.cmdID))
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	for frames := 0; frames < dnsFramesMax; frames++ {
		id, body, err := readFrame(conn)
		if err != nil {
			return nil, err
		}
		if id != idDNSRouteResponse {
			continue
		}
		var one answer
		if err := one.readRoute(body); err != nil {
			return nil, err
		}
		if one.key.module == module {
			return one.hosts, nil
		}
	}
	return nil, protocolError("dns must answer within %d frames", dnsFramesMax)
}

// readFrame reads a head and the body behind it.
func readFrame(stream io.Reader) (int32, []byte, error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return 0, nil, err
	}
	length := int32(binary.LittleEndian.Uint32(head[4:]))
	if length < 0 || length > dnsBytesMax {
		return 0, nil, protocolError("frame length must be 0 to %d: it is %d", dnsBytesMax, length)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(stream, body)
	return int32(binary.LittleEndian.Uint32(head[:])), body, err
}
