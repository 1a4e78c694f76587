// Core. What the package is.

// Package lars is the client of Lars, the load balancer that learns from the outcomes of calls.
//
// A caller asks the agent of its host for a node, calls it, and reports how it went:
//
//	client, err := lars.New(lars.Config{})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	err = client.Call(ctx, 1, 2, func(ctx context.Context, node lars.Attempt) error {
//		return fetch(ctx, node.Addr().String())
//	}, lars.Retries(1), lars.Timeout(2*time.Second))
//
// One client serves a whole program; its methods may be called by any number of goroutines.
package lars
