// Shell. Why is which node picked? The agent's explanation, asked for page by page.

package lars

import (
	"context"
	"encoding/json"
	"time"
)

// Explanation is what the agent says of a module.
type Explanation struct {
	// State of the module: pulling, ready or empty.
	State string
	// Nodes as JSON objects, each with its weight, state, counts and reason.
	Nodes []json.RawMessage
	// Module is all else: policy, shares of zones, the latest decisions.
	Module map[string]json.RawMessage
}

type explanationPage struct {
	State  *string                    `json:"state"`
	Module map[string]json.RawMessage `json:"module"`
}

// Explain says why which node of a module is picked; nil when the agent does not know the module. An
// agent of the original ends it with an ErrTimeout, an answer that makes no sense with an
// ErrProtocol.
func (c *Client) Explain(
	ctx context.Context, modID, cmdID uint32, list ...Option,
) (*Explanation, error) {
	o, err := c.optionsOf(list)
	if err != nil {
		return nil, err
	}
	module := moduleID{modID, cmdID}
	if err := c.greet(ctx, module, o.deadline); err != nil {
		return nil, err
	}
	whole := &Explanation{}
	for {
		from := uint32(len(whole.Nodes))
		reply, err := c.lines.ask(ctx, &question{
			module:     module,
			id:         idExplainResponse,
			isNumbered: true,
			datagram:   func(seq uint32) []byte { return explainRequest(seq, module, from) },
		}, o.deadline)
		if err != nil || reply.text == "" {
			return nil, err
		}
		isLast, err := whole.add(reply.text)
		if err != nil {
			return nil, err
		}
		if isLast {
			return whole, nil
		}
	}
}

// add takes a page in; true when it is the last one.
func (e *Explanation) add(text string) (isLast bool, err error) {
	var page explanationPage
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		return false, protocolError("explanation must be JSON: %v", err)
	}
	if page.State == nil {
		return false, protocolError("explanation must have a state")
	}
	e.State = *page.State
	if page.Module == nil {
		return true, nil
	}
	var nodes []json.RawMessage
	var count int
	if json.Unmarshal(page.Module["nodes"], &nodes) != nil ||
		json.Unmarshal(page.Module["nodeCount"], &count) != nil {
		return false, protocolError("explanation must have nodes with their number")
	}
	if e.Module == nil {
		delete(page.Module, "nodes")
		delete(page.Module, "nodeCount")
		e.Module = page.Module
	}
	e.Nodes = append(e.Nodes, nodes...)
	// The route may shrink between two pages; then the next one is empty.
	return len(nodes) == 0 || len(e.Nodes) >= count, nil
}

// greet: our own messages are for an agent that has said Hello; it is asked once for each port.
func (c *Client) greet(ctx context.Context, module moduleID, deadline time.Duration) error {
	index := portIndex(module.modID, module.cmdID)
	if c.greeted[index].Load() {
		return nil
	}
	_, err := c.lines.ask(ctx, &question{
		module:   module,
		id:       idHello,
		datagram: func(uint32) []byte { return helloMessage("lars-go", "client") },
	}, deadline)
	if err == nil {
		c.greeted[index].Store(true)
	}
	return err
}
