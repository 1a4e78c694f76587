// Core. What a failed call says about its node: the return code to report for an error.

package lars

import (
	"context"
	"errors"
	"io"
	"syscall"
)

// Return codes that are reported; one for each kind of outcome that agents tell apart.
const (
	reportSuccess  int32 = 0
	reportOther    int32 = 2
	reportTimeout  int32 = 110
	reportRefused  int32 = 111
	statusTimeout        = 408
	statusPushback       = 429
)

var refusals = []error{
	syscall.ECONNREFUSED,
	syscall.ECONNRESET,
	syscall.ECONNABORTED,
	syscall.EPIPE,
	syscall.EHOSTUNREACH,
	syscall.EHOSTDOWN,
	syscall.ENETUNREACH,
	io.EOF,
	io.ErrUnexpectedEOF,
}

// RetcodeOf is the return code that says what kind of failure an error is: 111 for a connection that
// was refused or lost, 110 for time that was over, the status of a CheckStatus error, 2 for all else,
// 0 for nil.
func RetcodeOf(err error) int32 {
	if err == nil {
		return reportSuccess
	}
	var own *Error
	if errors.As(err, &own) && own.Kind == ErrStatus {
		return int32(own.Status)
	}
	var timed interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timed) && timed.Timeout() {
		return reportTimeout
	}
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return reportRefused
		}
	}
	return reportOther
}

// CheckStatus returns an error for an HTTP status that blames the node: 500 and above, 429 (it pushes
// back) and 408 (it gave up). Any other one of 400 to 499 is the caller's own fault, and no reason to
// avoid a node.
func CheckStatus(status int) error {
	if status < 500 && status != statusPushback && status != statusTimeout {
		return nil
	}
	err := newError(ErrStatus, "the node answered with status %d", status)
	err.Status = status
	return err
}
