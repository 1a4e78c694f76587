// Core. What a client has seen since it was made.

package lars

import "sync/atomic"

// Stats has counters for whoever watches the program.
type Stats struct {
	// Pending: questions asked and not answered yet.
	Pending int
	// Resent: questions sent a second time.
	Resent uint64
	// Late: answers that nobody waited for (any more).
	Late uint64
	// Garbage: datagrams of the agent that could not be read.
	Garbage uint64
	// Foreign: datagrams without a good seal, where there is a secret.
	Foreign uint64
	// Dropped: datagrams that could not be sent.
	Dropped uint64
	// Stale: times a node named earlier was given because the agent did not answer.
	Stale uint64
	// Retried: tries made by Call after the first one.
	Retried uint64
	// RetriesRefused: tries that Call did not make because the budget was spent.
	RetriesRefused uint64
}

type counters struct {
	resent, late, garbage, foreign, dropped, stale, retried, retriesRefused atomic.Uint64
}

func (c *counters) stats(pending int) Stats {
	return Stats{
		Pending:        pending,
		Resent:         c.resent.Load(),
		Late:           c.late.Load(),
		Garbage:        c.garbage.Load(),
		Foreign:        c.foreign.Load(),
		Dropped:        c.dropped.Load(),
		Stale:          c.stale.Load(),
		Retried:        c.retried.Load(),
		RetriesRefused: c.retriesRefused.Load(),
	}
}
