// Core. Waiting for the first route of a module, so that the first call of a program need not fail.

package lars

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// firstRouteModulesMax: modules without a route that are remembered; for a new one another is
	// forgotten, which is waited for again.
	firstRouteModulesMax = 1024
	// Pauses between two questions for a route: the first one, and the longest.
	pauseFirst = 5 * time.Millisecond
	pauseMax   = 100 * time.Millisecond
)

// absence is a module without a route: until when it is waited for, and who asks for it.
type absence struct {
	end time.Time
	// round is nil while nobody asks.
	round *askRound
}

type askRound struct {
	over      chan struct{}
	isSettled bool
}

// firstRoutes knows which modules have no route yet. One goroutine at a time asks for each of them,
// with pauses that grow, and the others wait for it; when the time of a module is over nobody waits
// for it any more, until it has had a route.
type firstRoutes struct {
	getRoute func(context.Context, moduleID, time.Duration) ([]Host, error)
	mutex    sync.Mutex
	absences map[moduleID]*absence
}

// isAbsent is true for an answer that may be another one when the route has come.
func isAbsent(one HostAnswer) bool {
	if one.RetCode == Success {
		return false
	}
	if one.Err != nil {
		return errors.Is(one.Err, ErrTimeout)
	}
	return one.RetCode == NoExist
}

// arrived: a module has a route.
func (f *firstRoutes) arrived(module moduleID) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.absences, module)
}

// wait waits until the module has a route, or until `end`, or what that was for the first. It is false
// when that time is over: nothing was asked.
func (f *firstRoutes) wait(ctx context.Context, module moduleID, end time.Time) bool {
	one := f.absence(module, end)
	if one.end.Before(end) {
		end = one.end
	}
	if !time.Now().Before(end) {
		return false
	}
	for time.Now().Before(end) && ctx.Err() == nil {
		round, isMine := f.enter(one)
		if isMine {
			f.leave(one, round, f.ask(ctx, module, end))
			return true
		}
		timer := time.NewTimer(time.Until(end))
		select {
		case <-round.over:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		select {
		case <-round.over:
			if round.isSettled {
				return true
			}
		default:
		}
	}
	return true
}

func (f *firstRoutes) absence(module moduleID, end time.Time) *absence {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	one := f.absences[module]
	if one != nil {
		return one
	}
	if len(f.absences) >= firstRouteModulesMax {
		for any := range f.absences {
			delete(f.absences, any)
			break
		}
	}
	one = &absence{end: end}
	f.absences[module] = one
	return one
}

// enter gives the round that goes on, or a new one that the caller is to make.
func (f *firstRoutes) enter(one *absence) (round *askRound, isMine bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if one.round != nil {
		return one.round, false
	}
	one.round = &askRound{over: make(chan struct{})}
	return one.round, true
}

func (f *firstRoutes) leave(one *absence, round *askRound, isSettled bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	round.isSettled = isSettled
	one.round = nil
	close(round.over)
}

// ask is true when there is nothing more to wait for.
func (f *firstRoutes) ask(ctx context.Context, module moduleID, end time.Time) bool {
	for pause := pauseFirst; ; pause = shorter(2*pause, pauseMax) {
		sleep(ctx, shorter(pause, time.Until(end)))
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			return false
		}
		hosts, err := f.getRoute(ctx, module, shorter(left, pauseMax))
		if err == nil && len(hosts) > 0 {
			return true
		}
		if err != nil && !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrConnect) {
			return ctx.Err() == nil
		}
	}
}

func shorter(one, other time.Duration) time.Duration {
	if one < other {
		return one
	}
	return other
}

// sleep lets time pass, less when the context is done.
func sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
