// Shell. The client: asks the agent for nodes and tells it how the calls went.

package lars

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// The original tries this often to get the first route of a module, with pauses between.
	regInitTries = 3
	regInitPause = 50 * time.Millisecond

	// An agent that did not answer is not waited for again for so long, where an old table stands in.
	silentTime = time.Second

	// TimeUnknown, as the time of a report, says that nobody knows what the call took.
	TimeUnknown = time.Duration(-1)
)

// silentError: why a node stands in without a question.
var silentError error = newError(ErrTimeout, "no answer from the agent a moment ago: is it running?")

// Client is a caller's side of Lars. Any number of goroutines may use it.
type Client struct {
	settings    settings
	counters    counters
	lines       *lines
	lastGood    *lastGood
	budgets     *retryBudgets
	firstRoutes *firstRoutes
	batch       *batch
	table       *tableReader
	// dns is nil where none is named.
	dns *dnsRoutes
	// silentUntil, in nanoseconds since 1970: until then the agent is not waited for, where an old
	// table can stand in.
	silentUntil atomic.Int64
	// greeted: ports of the agent that have said Hello.
	greeted  [portsPerAgent]atomic.Bool
	isClosed atomic.Bool
}

// New makes a client. It opens nothing: sockets are opened by the first question. The error is an
// ErrRange.
func New(config Config) (*Client, error) {
	checked, err := checkConfig(config)
	if err != nil {
		return nil, err
	}
	c := &Client{settings: checked}
	c.lines = newLines(&c.settings, &c.counters)
	c.lastGood = newLastGood(checked.lastGood)
	c.dns = newDNSRoutes(checked.dns, c.lastGood)
	c.budgets = newRetryBudgets(checked.share, checked.floor, time.Now())
	c.batch = newBatch(&c.counters, checked.token)
	c.table = newTableReader(checked.tablePath, checked.ports[0], c.batch)
	c.table.onLeave = func(module moduleID, host Host) bool {
		return c.lastGood.fill(module, host, time.Now())
	}
	c.firstRoutes = &firstRoutes{getRoute: c.askRoute, absences: map[moduleID]*absence{}}
	return c, nil
}

// Stats gives the counters as they are now.
func (c *Client) Stats() Stats { return c.counters.stats(c.lines.pending()) }

// Close ends questions under way with an ErrClosed, and closes. It may be repeated.
func (c *Client) Close() error {
	c.isClosed.Store(true)
	c.table.close()
	c.batch.close()
	c.lines.close()
	return nil
}

// GetHost gives the next node of a module; it waits for the first route of a module. Its error is an
// ErrOverload, ErrNoRoute, ErrTimeout, ErrConnect (ErrNoAgent), ErrAgent, ErrLimit, ErrClosed,
// ErrRange, or that of the context.
func (c *Client) GetHost(ctx context.Context, modID, cmdID uint32, list ...Option) (Host, error) {
	if len(list) == 0 {
		// The way of nearly all picks.
		if entry := c.table.pickNext(modID, cmdID); entry != 0 {
			return entry.host(), nil
		}
	}
	return c.getHostThoroughly(ctx, modID, cmdID, list)
}

func (c *Client) getHostThoroughly(
	ctx context.Context, modID, cmdID uint32, list []Option,
) (Host, error) {
	o, err := c.optionsOf(list)
	if err != nil {
		return Host{}, err
	}
	return c.getHost(ctx, moduleID{modID, cmdID}, o)
}

// TryGetHost is like GetHost, at once, and with the return codes of the original for errors.
func (c *Client) TryGetHost(
	ctx context.Context, modID, cmdID uint32, list ...Option,
) HostAnswer {
	o, err := c.optionsOf(list)
	if err != nil {
		return HostAnswer{RetCode: SystemError, Err: err}
	}
	return c.tryGetHost(ctx, moduleID{modID, cmdID}, o)
}

func (c *Client) getHost(ctx context.Context, module moduleID, o options) (Host, error) {
	start := time.Now()
	one := c.tryGetHost(ctx, module, o)
	if isAbsent(one) {
		if again, ok := c.pickAgain(ctx, module, o, start); ok {
			one = again
		}
	}
	switch {
	case one.RetCode == Success:
		c.firstRoutes.arrived(module)
		return one.Host, nil
	case one.Err != nil:
		return Host{}, one.Err
	case one.RetCode == Overload:
		return Host{}, overloadError(module)
	case one.RetCode == NoExist:
		return Host{}, newError(ErrNoRoute, "the agent knows no node of module %d,%d",
			module.modID, module.cmdID)
	}
	err := newError(ErrAgent, "the agent answered for module %d,%d with return code %d",
		module.modID, module.cmdID, one.RetCode)
	err.Status = int(one.RetCode)
	return Host{}, err
}

func overloadError(module moduleID) *Error {
	return newError(ErrOverload, "every node of module %d,%d is overloaded",
		module.modID, module.cmdID)
}

func (c *Client) tryGetHost(ctx context.Context, module moduleID, o options) HostAnswer {
	switch entry, what := c.table.pick(module.modID, module.cmdID, o.key); what {
	case foundNode:
		return HostAnswer{Host: entry.host()}
	case foundRefusal:
		return HostAnswer{RetCode: Overload}
	}
	if time.Now().UnixNano() < c.silentUntil.Load() {
		if host, ok := c.pickOld(module); ok {
			return HostAnswer{Host: host, Err: silentError}
		}
	}
	reply, err := c.lines.ask(ctx, &question{
		module:     module,
		id:         idGetHostResponse,
		isNumbered: true,
		datagram:   func(seq uint32) []byte { return getHostRequest(seq, module, o.key) },
	}, o.deadline)
	if err != nil {
		return c.standIn(ctx, module, o, err)
	}
	c.silentUntil.Store(0)
	c.table.forgetOld()
	// That there is no node takes nothing away: an agent that has just started says so of every module
	// whose route has not come yet.
	if reply.retcode == Success {
		c.lastGood.remember(module, reply.host, time.Now())
	}
	return HostAnswer{RetCode: reply.retcode, Host: reply.host}
}

// standIn gives a node that the agent named earlier, or dns names, when it does not answer at all.
func (c *Client) standIn(
	ctx context.Context, module moduleID, o options, err error,
) HostAnswer {
	isUnanswered := errors.Is(err, ErrTimeout) || errors.Is(err, ErrConnect) ||
		errors.Is(err, context.DeadlineExceeded)
	if isUnanswered {
		if host, ok := c.pickOld(module); ok {
			c.silentUntil.Store(time.Now().Add(silentTime).UnixNano())
			return HostAnswer{RetCode: Success, Host: host, Err: err}
		}
		wait := defaultFirstRoute
		if o.namedDeadline {
			wait = o.deadline
		}
		c.dns.renew(ctx, module, c.lastGood.knows(module, time.Now()), wait)
		if host, ok := c.lastGood.next(module, time.Now()); ok {
			c.counters.stale.Add(1)
			return HostAnswer{RetCode: Success, Host: host.asStale(), Err: err}
		}
	}
	return HostAnswer{RetCode: SystemError, Err: err}
}

// pickOld gives a node of a table that nobody keeps any more.
func (c *Client) pickOld(module moduleID) (Host, bool) {
	if c.settings.lastGood == 0 || c.isClosed.Load() {
		return Host{}, false
	}
	now := time.Now()
	host, ok := c.table.pickOld(module, func(one Host) bool {
		return c.lastGood.rests(module, one.Addr(), now)
	})
	if ok {
		c.counters.stale.Add(1)
		// One that is known can be judged: the next pick passes it over when its call fails.
		c.lastGood.learn(module, host, now)
		host = host.asStale()
	}
	return host, ok
}

// pickAgain picks once more when the first route of the module has come; false: nobody waits for it.
func (c *Client) pickAgain(
	ctx context.Context, module moduleID, o options, start time.Time,
) (HostAnswer, bool) {
	if o.firstRoute == 0 {
		return HostAnswer{}, false
	}
	end := start.Add(o.firstRoute)
	if o.namedDeadline && o.deadline < o.firstRoute {
		end = start.Add(o.deadline)
	}
	if !c.firstRoutes.wait(ctx, module, end) {
		return HostAnswer{}, false
	}
	if o.namedDeadline {
		o.deadline -= time.Since(start)
		if o.deadline <= 0 {
			return HostAnswer{}, false
		}
	}
	return c.tryGetHost(ctx, module, o), true
}

// Report tells how a call went: 0 for success, anything else is a failure; and what it took, or
// TimeUnknown. It never waits; the agent does not answer. The error is an ErrRange or ErrClosed.
func (c *Client) Report(
	modID, cmdID uint32, addr netip.AddrPort, retcode int32, took time.Duration,
) error {
	if !addr.Addr().Is4() || addr.Port() == 0 {
		return rangeError("address must be IPv4 with a port from 1: it is %v", addr)
	}
	if c.isClosed.Load() {
		return closedError()
	}
	module := moduleID{modID, cmdID}
	if retcode != reportSuccess || c.lastGood.hasFailures.Load() {
		c.lastGood.judge(module, addr, retcode == reportSuccess, time.Now())
	}
	timeMs := int64(-1)
	if took >= 0 {
		timeMs = int64(shorter(took.Round(time.Millisecond), 0xffffffff*time.Millisecond) /
			time.Millisecond)
	}
	if c.table.usable.Load() != nil {
		one := record{module: module, retcode: retcode, timeMs: uint32(timeMs)} // -1: not known
		one.node = tableEntry(ipNumber(addr.Addr())) | tableEntry(addr.Port())<<32
		c.batch.add(one)
		return nil
	}
	datagram := reportRequest(module, ipNumber(addr.Addr()), addr.Port(), retcode, timeMs)
	c.lines.send(portIndex(modID, cmdID), datagram)
	return nil
}

// GetRoute gives every node of a module, overloaded ones too; none when there is no such module.
func (c *Client) GetRoute(
	ctx context.Context, modID, cmdID uint32, list ...Option,
) ([]Host, error) {
	o, err := c.optionsOf(list)
	if err != nil {
		return nil, err
	}
	return c.askRoute(ctx, moduleID{modID, cmdID}, o.deadline)
}

func (c *Client) askRoute(
	ctx context.Context, module moduleID, deadline time.Duration,
) ([]Host, error) {
	reply, err := c.lines.ask(ctx, &question{
		module:   module,
		id:       idGetRouteResponse,
		datagram: func(uint32) []byte { return getRouteRequest(module) },
	}, deadline)
	return reply.hosts, err
}

// RegInit fetches the route of a module when a program starts, with three tries 50 ms apart. It gives
// Success when there are nodes, NoExist when there are none, SystemError when nobody could be asked;
// the error is an ErrClosed, or that of the context.
func (c *Client) RegInit(ctx context.Context, modID, cmdID uint32) (RetCode, error) {
	hasAnswered := false
	for try := 0; try < regInitTries; try++ {
		if try > 0 {
			sleep(ctx, regInitPause)
		}
		hosts, err := c.askRoute(ctx, moduleID{modID, cmdID}, c.settings.deadline)
		switch {
		case ctx.Err() != nil:
			return SystemError, ctx.Err()
		case errors.Is(err, ErrClosed):
			return SystemError, err
		case err == nil && len(hosts) > 0:
			return Success, nil
		case err == nil:
			hasAnswered = true
		}
	}
	if hasAnswered {
		return NoExist, nil
	}
	return SystemError, nil
}
