// Core. What a caller can be told apart from a node.

package lars

import (
	"errors"
	"fmt"
	"time"
)

// Kinds of errors, for errors.Is. Every error of this package has one of them.
var (
	// ErrOverload: every node of the module is overloaded. Shed the call, or try a little later.
	ErrOverload = errors.New("lars: overload")
	// ErrNoRoute: the agent knows no node of the module, or its route has not arrived yet.
	ErrNoRoute = errors.New("lars: no route")
	// ErrTimeout: no answer came within the time allowed.
	ErrTimeout = errors.New("lars: timeout")
	// ErrConnect: a socket towards the agent failed, or its name does not resolve.
	ErrConnect = errors.New("lars: connect")
	// ErrNoAgent: nobody listens at the agent's address. Such an error is an ErrConnect as well.
	ErrNoAgent = errors.New("lars: no agent")
	// ErrAgent: the agent answered that it could not do its work, or with an unknown code.
	ErrAgent = errors.New("lars: agent")
	// ErrProtocol: bytes of the agent break the rules of the wire.
	ErrProtocol = errors.New("lars: protocol")
	// ErrLimit: a named limit was reached, and the request was refused rather than queued.
	ErrLimit = errors.New("lars: limit")
	// ErrClosed: the client is closed.
	ErrClosed = errors.New("lars: closed")
	// ErrRange: an argument is out of range, a fault of the program.
	ErrRange = errors.New("lars: out of range")
	// ErrStatus: a node answered with an HTTP status that says it failed.
	ErrStatus = errors.New("lars: status")
)

// Error is every error that this package makes.
type Error struct {
	// Kind is one of the Err variables.
	Kind error
	// Message says what, where, and what would be right.
	Message string
	// Cause is what led to it; nil for none.
	Cause error
	// Status is the HTTP status of an ErrStatus, and the return code of an ErrAgent.
	Status int
}

// Error is the message, and the cause if there is one.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Is makes errors.Is find the kind.
func (e *Error) Is(target error) bool {
	return target == e.Kind || target == ErrConnect && e.Kind == ErrNoAgent
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Timeout says whether time was over, as errors of package net do.
func (e *Error) Timeout() bool { return e.Kind == ErrTimeout }

func newError(kind error, format string, values ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, values...)}
}

func protocolError(format string, values ...any) *Error {
	return newError(ErrProtocol, format, values...)
}

func timeoutError(address string, waited time.Duration) *Error {
	return newError(ErrTimeout, "no answer in %v from the agent at %s: is it running?",
		waited.Round(time.Millisecond), address)
}

func noAgentError(address string) *Error {
	return newError(ErrNoAgent, "%s: no Lars agent listens here: is it running?", address)
}

func socketError(address string, cause error) *Error {
	return &Error{
		Kind:    ErrConnect,
		Message: address + ": the socket towards the agent failed",
		Cause:   cause,
	}
}

func closedError() *Error { return newError(ErrClosed, "the client is closed") }

func rangeError(format string, values ...any) *Error {
	return newError(ErrRange, format, values...)
}
