// Shell. A call from the pick to its outcome, with further tries at other nodes.

package lars

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// picksMax: picks made to find a node that was not tried yet; with fewer nodes a known one comes back.
const picksMax = 8

// Attempt is one try of a call: the node, and which try it is.
type Attempt struct {
	Host
	// Number is 0 for the first try, 1 for the second, and so on.
	Number int
}

// CallFunc is the part of a call that is the caller's own: an error means that the node failed. Its
// context is done when the time of the call is over.
type CallFunc func(ctx context.Context, node Attempt) error

// Call picks a node, runs fn with it, and reports how it went and how long it took. With Retries
// another node is tried after a failure; with Timeout all of it ends in time.
//
// Its error is that of GetHost before fn is run, afterwards that of the last try, or an ErrTimeout
// when the time of the call was over. A try that ends because ctx was cancelled is not reported: that
// says nothing about the node.
func (c *Client) Call(
	ctx context.Context, modID, cmdID uint32, fn CallFunc, list ...Option,
) error {
	o, err := c.optionsOf(list)
	if err != nil {
		return err
	}
	one := call{client: c, module: moduleID{modID, cmdID}, fn: fn, options: o}
	return one.run(ctx)
}

type call struct {
	client  *Client
	module  moduleID
	fn      CallFunc
	options options
	end     time.Time // zero: no limit
	tried   []netip.AddrPort
}

func (k *call) run(ctx context.Context) error {
	if k.options.timeout > 0 {
		k.end = time.Now().Add(k.options.timeout)
	}
	host, err := k.pick(ctx, k.options)
	if err != nil {
		return err
	}
	if k.options.retries > 0 {
		k.client.budgets.addCall(k.module, time.Now())
	}
	for {
		err := k.try(ctx, host)
		if err == nil {
			return nil
		}
		isFinal := len(k.tried) > k.options.retries || k.isOver() || ctx.Err() != nil ||
			k.options.isRetryable != nil && !k.options.isRetryable(err, host)
		if isFinal {
			return err
		}
		again, ok := k.nextHost(ctx)
		if !ok {
			return err
		}
		host = again
	}
}

func (k *call) isOver() bool { return !k.end.IsZero() && !time.Now().Before(k.end) }

// try runs the function with one node and reports what came of it.
func (k *call) try(ctx context.Context, host Host) error {
	own := ctx
	if !k.end.IsZero() {
		limited, cancel := context.WithDeadline(ctx, k.end)
		defer cancel()
		own = limited
	}
	start := time.Now()
	err := k.fn(own, Attempt{Host: host, Number: len(k.tried)})
	took := time.Since(start)
	k.tried = append(k.tried, host.Addr())
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	retcode := k.retcodeOf(err, host)
	if k.isOver() {
		late := newError(ErrTimeout, "no outcome of the call in %v; the last node was %v",
			k.options.timeout, host.Addr())
		late.Cause = err
		err, retcode = late, reportTimeout
	}
	// Its error does not matter: the outcome of the call matters more than that nobody can be told.
	_ = k.client.Report(k.module.modID, k.module.cmdID, host.Addr(), retcode, took)
	return err
}

func (k *call) retcodeOf(err error, host Host) int32 {
	if err != nil && k.options.retcodeOf != nil {
		if code := k.options.retcodeOf(err, host); code != 0 {
			return code
		}
	}
	return RetcodeOf(err)
}

// pick asks for a node; the question does not outlast the call.
func (k *call) pick(ctx context.Context, o options) (Host, error) {
	if !k.end.IsZero() {
		left := time.Until(k.end)
		if left < time.Millisecond {
			left = time.Millisecond
		}
		if left < o.deadline {
			o.deadline, o.namedDeadline = left, true
		}
		o.firstRoute = shorter(o.firstRoute, left)
	}
	return k.client.getHost(ctx, k.module, o)
}

// nextHost gives another node, when the budget allows it and there is one.
func (k *call) nextHost(ctx context.Context) (Host, bool) {
	// The budget first: when it is spent, looking for another node would be load for nothing.
	if !k.client.budgets.take(k.module, time.Now()) {
		k.client.counters.retriesRefused.Add(1)
		return Host{}, false
	}
	host, ok := k.another(ctx)
	if !ok {
		k.client.budgets.giveBack(k.module, time.Now())
		return Host{}, false
	}
	k.client.counters.retried.Add(1)
	return host, true
}

// another is a node that was not tried yet, else one that was not the last.
func (k *call) another(ctx context.Context) (known Host, ok bool) {
	o := k.options
	// The key names one node: whoever looks for another one does so without it.
	o.key, o.firstRoute = "", 0
	for picks := 0; picks < picksMax; picks++ {
		host, err := k.pick(ctx, o)
		if err != nil {
			break
		}
		if !k.wasTried(host.Addr()) {
			return host, true
		}
		if host.Addr() != k.tried[len(k.tried)-1] {
			known, ok = host, true
		}
	}
	return known, ok
}

func (k *call) wasTried(addr netip.AddrPort) bool {
	for _, one := range k.tried {
		if one == addr {
			return true
		}
	}
	return false
}
