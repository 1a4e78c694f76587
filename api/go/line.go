// Shell. UDP sockets towards the agent: each question has one to itself while it waits.

package lars

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// idleLinesMax: sockets kept for later, for each port of the agent; one more is closed.
const idleLinesMax = 64

const datagramBytesMax = 65536

// question is what is asked; seq is 0 for one whose answer carries no number.
type question struct {
	module moduleID
	id     int32
	// isNumbered is false when its answer carries no number, so that a late one cannot be told from
	// the answer to a later one.
	isNumbered bool
	datagram   func(seq uint32) []byte
}

func (q *question) key(seq uint32) answerKey {
	switch {
	case q.isNumbered:
		return answerKey{id: q.id, seq: seq, module: q.module}
	case q.id == idHello:
		return answerKey{id: q.id} // its answer names nothing: the first one will do
	}
	return answerKey{id: q.id, module: q.module}
}

// line is one connected socket: the kernel keeps strangers out, and says when nobody listens.
type line struct {
	conn     *net.UDPConn
	raw      syscall.RawConn
	address  string
	counters *counters
	seal     *sealer
	seq      uint32
	buffer   []byte
}

func openLine(s *settings, index int, counters *counters) (*line, error) {
	address := net.JoinHostPort(s.hostname, fmt.Sprint(s.ports[index]))
	remote, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp4", nil, remote)
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	seal, err := newSealer(s.secret)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &line{
		conn:     conn,
		raw:      raw,
		address:  address,
		counters: counters,
		// Far from the numbers of any other socket.
		seq:    uint32(randomSeed()),
		seal:   seal,
		buffer: make([]byte, datagramBytesMax),
	}, nil
}

// send sends, or loses; isRefused when the agent's absence is the reason. An error says that the
// socket is of no use any more.
func (l *line) send(datagram []byte) (isRefused bool, err error) {
	for try := 0; try < 2; try++ {
		sealed := datagram
		if l.seal != nil {
			sealed = l.seal.seal(datagram, time.Now())
		}
		_, err = l.conn.Write(sealed)
		switch {
		case err == nil:
			return false, nil
		case errors.Is(err, syscall.ECONNREFUSED):
			// An earlier datagram was refused, and this one has only delivered the news.
			continue
		case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.EMSGSIZE):
			l.counters.dropped.Add(1)
			return false, nil
		}
		return false, err
	}
	l.counters.dropped.Add(1)
	return true, nil
}

// ask gives the answer; the question is sent a second time at half its deadline.
func (l *line) ask(ctx context.Context, q *question, deadline time.Duration) (answer, error) {
	l.seq++
	datagram := q.datagram(l.seq)
	key := q.key(l.seq)
	start := time.Now()
	next := start.Add(deadline / 2)
	unwatch := l.watch(ctx)
	defer unwatch()
	isRefused, err := l.send(datagram)
	if err != nil {
		return answer{}, err
	}
	for hasResent := false; ; {
		one, err := l.read(ctx, next)
		switch {
		case err == nil && one.key == key:
			return one, nil
		case err == nil:
			l.counters.late.Add(1)
		case errors.Is(err, ErrProtocol):
			l.counters.garbage.Add(1)
		case errors.Is(err, syscall.ECONNREFUSED):
			// The first one is forgiven: an agent that restarts may be there for the second try.
			if hasResent {
				return answer{}, noAgentError(l.address)
			}
			isRefused = true
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return answer{}, err
		}
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		if time.Now().Before(next) {
			continue
		}
		if hasResent && isRefused {
			return answer{}, noAgentError(l.address)
		}
		if hasResent {
			return answer{}, timeoutError(l.address, time.Since(start))
		}
		hasResent = true
		next = start.Add(deadline)
		l.counters.resent.Add(1)
		refusedNow, err := l.send(datagram)
		if err != nil {
			return answer{}, err
		}
		isRefused = isRefused || refusedNow
	}
}

// read gives the next answer; it waits until `end`. A datagram that waits is read also when that time
// is over, so that a process that slept too long finds its answer.
func (l *line) read(ctx context.Context, end time.Time) (answer, error) {
	size, err := l.readNow()
	if errors.Is(err, syscall.EAGAIN) {
		if ctx.Err() == nil {
			l.conn.SetReadDeadline(end)
		}
		size, err = l.conn.Read(l.buffer)
	}
	if err != nil {
		return answer{}, err
	}
	if l.seal != nil && !l.seal.isAnswer(l.buffer[:size]) {
		l.counters.foreign.Add(1)
		return answer{}, os.ErrDeadlineExceeded // nothing came for us: the time is looked at
	}
	return readAnswer(l.buffer[:size])
}

// readNow reads without waiting, whatever deadline is set.
func (l *line) readNow() (size int, err error) {
	l.conn.SetReadDeadline(time.Time{})
	doneErr := l.raw.Read(func(fd uintptr) bool {
		size, err = syscall.Read(int(fd), l.buffer)
		return true
	})
	if doneErr != nil {
		return 0, doneErr
	}
	return size, err
}

// watch ends a read when the context is done. The function it gives must be called once.
func (l *line) watch(ctx context.Context) func() {
	if ctx.Done() == nil {
		return func() {}
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-ctx.Done():
			}
			// Again and again: the reader may be just about to set a deadline of its own.
			l.conn.SetReadDeadline(time.Unix(1, 0))
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}

// lines has the sockets of one client.
type lines struct {
	settings *settings
	counters *counters
	mutex    sync.Mutex
	idle     [portsPerAgent][]*line
	busy     map[*line]int
	isClosed bool
}

func newLines(s *settings, counters *counters) *lines {
	return &lines{settings: s, counters: counters, busy: map[*line]int{}}
}

func (l *lines) pending() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return len(l.busy)
}

// ask asks over a socket of its own.
func (l *lines) ask(ctx context.Context, q *question, deadline time.Duration) (answer, error) {
	index := portIndex(q.module.modID, q.module.cmdID)
	one, err := l.take(index)
	if err != nil {
		return answer{}, err
	}
	reply, err := one.ask(ctx, q, deadline)
	var own *Error
	switch {
	case err == nil:
		l.give(one, index)
		return reply, nil
	case errors.As(err, &own) || ctx.Err() != nil:
		if q.isNumbered {
			l.give(one, index)
		} else {
			l.drop(one)
		}
		return answer{}, err
	}
	l.drop(one)
	if errors.Is(err, net.ErrClosed) {
		return answer{}, closedError()
	}
	return answer{}, socketError(one.address, err)
}

// send sends one datagram, or loses it: UDP promises nothing.
func (l *lines) send(index int, datagram []byte) {
	one, err := l.take(index)
	if err != nil {
		l.counters.dropped.Add(1)
		return
	}
	if _, err := one.send(datagram); err != nil {
		l.counters.dropped.Add(1)
		l.drop(one)
		return
	}
	l.give(one, index)
}

// close ends the questions under way with an ErrClosed.
func (l *lines) close() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.isClosed = true
	for index := range l.idle {
		for _, one := range l.idle[index] {
			one.conn.Close()
		}
		l.idle[index] = nil
	}
	for one := range l.busy {
		one.conn.Close()
	}
}

func (l *lines) take(index int) (*line, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.isClosed {
		return nil, closedError()
	}
	if len(l.busy) >= l.settings.pendingMax {
		return nil, newError(ErrLimit, "questions under way must be at most %d: one more was refused",
			l.settings.pendingMax)
	}
	idle := l.idle[index]
	if last := len(idle) - 1; last >= 0 {
		one := idle[last]
		l.idle[index] = idle[:last]
		l.busy[one] = index
		return one, nil
	}
	// Not under the lock: the agent's name may have to be looked up.
	l.mutex.Unlock()
	one, err := openLine(l.settings, index, l.counters)
	l.mutex.Lock()
	if err != nil {
		return nil, socketError(net.JoinHostPort(l.settings.hostname,
			fmt.Sprint(l.settings.ports[index])), err)
	}
	if l.isClosed {
		one.conn.Close()
		return nil, closedError()
	}
	l.busy[one] = index
	return one, nil
}

func (l *lines) give(one *line, index int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.busy, one)
	if l.isClosed || len(l.idle[index]) >= idleLinesMax {
		one.conn.Close()
		return
	}
	l.idle[index] = append(l.idle[index], one)
}

func (l *lines) drop(one *line) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.busy, one)
	one.conn.Close()
}
