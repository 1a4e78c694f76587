// Shell. The driver of the Go client: commands as lines, see api/conformance/README.md.

// Command conformancedriver runs the Go client by lines on its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"lars"
)

// loadCallsMin is how many calls each goroutine of load makes at least, however late it is.
const loadCallsMin = 20

var errNode = errors.New("the node is to fail")

// errWords: the first kind that fits names the error.
var errWords = []struct {
	kind error
	word string
}{
	{lars.ErrOverload, "overload"},
	{lars.ErrNoRoute, "no_route"},
	{lars.ErrNoAgent, "no_agent"},
	{lars.ErrTimeout, "timeout"},
	{lars.ErrConnect, "connect"},
	{lars.ErrAgent, "agent"},
	{lars.ErrLimit, "limit"},
	{lars.ErrClosed, "closed"},
	{lars.ErrRange, "range"},
	{strconv.ErrRange, "range"},
}

func errorWords(err error) string {
	for _, one := range errWords {
		if errors.Is(err, one.kind) {
			return "error " + one.word
		}
	}
	return "error " + strings.ReplaceAll(err.Error(), "\n", " ")
}

// words of a command after its name.
type words struct {
	plain []string
	named map[string]string
	err   error
}

func parseWords(list []string) *words {
	w := &words{named: map[string]string{}}
	for _, word := range list {
		if name, value, ok := strings.Cut(word, "="); ok {
			w.named[name] = value
		} else {
			w.plain = append(w.plain, word)
		}
	}
	return w
}

// id is a number of 32 bits, from signed or unsigned text.
func (w *words) id(at int) uint32 {
	value, err := strconv.ParseInt(w.plain[at], 10, 64)
	if err == nil && (value < -1<<31 || value > 1<<32-1) {
		err = strconv.ErrRange
	}
	w.fail(err)
	return uint32(value)
}

func (w *words) number(text string, bits int) int64 {
	value, err := strconv.ParseInt(text, 10, bits)
	w.fail(err)
	return value
}

func (w *words) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *words) module() (uint32, uint32) { return w.id(0), w.id(1) }

// ms is a named time; `zero` stands for 0.
func (w *words) ms(name string, zero time.Duration) time.Duration {
	text, ok := w.named[name]
	if !ok {
		return 0
	}
	value, err := strconv.ParseFloat(text, 64)
	w.fail(err)
	if value == 0 {
		return zero
	}
	return time.Duration(value * float64(time.Millisecond))
}

func (w *words) share(name string) float64 {
	text, ok := w.named[name]
	if !ok {
		return 0
	}
	value, err := strconv.ParseFloat(text, 64)
	w.fail(err)
	if value == 0 {
		return lars.None
	}
	return value
}

func (w *words) options() []lars.Option {
	var list []lars.Option
	if _, ok := w.named["deadline_ms"]; ok {
		list = append(list, lars.Deadline(w.ms("deadline_ms", 0)))
	}
	if _, ok := w.named["first_route_ms"]; ok {
		list = append(list, lars.FirstRoute(w.ms("first_route_ms", 0)))
	}
	if _, ok := w.named["timeout_ms"]; ok {
		list = append(list, lars.Timeout(w.ms("timeout_ms", 0)))
	}
	if text, ok := w.named["retries"]; ok {
		list = append(list, lars.Retries(int(w.number(text, 32))))
	}
	if text, ok := w.named["key"]; ok {
		key, err := hex.DecodeString(text)
		w.fail(err)
		list = append(list, lars.Key(string(key)))
	}
	return list
}

func (w *words) isBad(node string) bool {
	for _, one := range strings.Split(w.named["bad"], ",") {
		if one == node {
			return true
		}
	}
	return false
}

func hostWords(host lars.Host) string {
	text := "host " + host.Addr().String()
	if host.Weight() >= 0 {
		text += fmt.Sprintf(" weight=%d", host.Weight())
	}
	if host.Zone() != "" {
		text += fmt.Sprintf(" zone=%x", host.Zone())
	}
	if host.Stale() {
		text += " stale"
	}
	return text
}

type driver struct {
	mutex  sync.Mutex
	client *lars.Client
}

func (d *driver) current() *lars.Client {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.client
}

var ctx = context.Background()

func (d *driver) answer(name string, w *words) (string, error) {
	switch name {
	case "open":
		return d.open(w)
	case "get_host":
		modID, cmdID := w.module()
		list := w.options()
		if w.err != nil {
			return "", w.err
		}
		host, err := d.current().GetHost(ctx, modID, cmdID, list...)
		return hostWords(host), err
	case "try_get_host":
		modID, cmdID := w.module()
		one := d.current().TryGetHost(ctx, modID, cmdID, w.options()...)
		if one.RetCode != lars.Success {
			return fmt.Sprintf("code %d", one.RetCode), nil
		}
		return hostWords(one.Host), nil
	case "report":
		return d.report(w)
	case "get_route":
		modID, cmdID := w.module()
		hosts, err := d.current().GetRoute(ctx, modID, cmdID, w.options()...)
		text := "route"
		for _, host := range hosts {
			text += " " + host.Addr().String()
		}
		return text, err
	case "reg_init":
		modID, cmdID := w.module()
		code, err := d.current().RegInit(ctx, modID, cmdID)
		return fmt.Sprintf("code %d", code), err
	case "explain":
		modID, cmdID := w.module()
		one, err := d.current().Explain(ctx, modID, cmdID)
		if one == nil {
			return "none", err
		}
		return fmt.Sprintf("json nodes=%d", len(one.Nodes)), err
	case "call":
		return d.call(w)
	case "load":
		return d.load(w)
	case "stats":
		return d.stats(), nil
	case "close":
		return "ok", d.current().Close()
	}
	return "unsupported", nil
}

func (d *driver) open(w *words) (string, error) {
	config := lars.Config{
		Deadline:            w.ms("deadline_ms", 0),
		FirstRoute:          w.ms("first_route_ms", lars.Never),
		LastGood:            w.ms("last_good_ms", lars.Never),
		RetryShare:          w.share("retry_share"),
		RetryFloorPerSecond: w.share("retry_floor"),
		SharedTable:         w.named["table"],
		Hostname:            w.named["host"],
	}
	if dns, ok := w.named["dns"]; ok {
		config.DNS = strings.Split(dns, ",")
	}
	if token, ok := w.named["token"]; ok {
		config.Token = []byte(token)
	}
	if table, ok := w.named["table"]; ok && table == "" {
		config.SharedTable = lars.NoTable
	}
	for index, text := range strings.Split(w.named["ports"], ",") {
		config.Ports[index] = int(w.number(text, 32))
	}
	if w.err != nil {
		return "", w.err
	}
	client, err := lars.New(config)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.client = client
	return "ok", err
}

func (d *driver) report(w *words) (string, error) {
	modID, cmdID := w.module()
	ip, err := netip.ParseAddr(w.plain[2])
	if err != nil {
		return "", strconv.ErrRange
	}
	port, err := strconv.ParseUint(w.plain[3], 10, 16)
	w.fail(err)
	retcode := int32(w.number(w.plain[4], 32))
	took := lars.TimeUnknown
	if len(w.plain) > 5 {
		ms := w.number(w.plain[5], 64)
		if ms < 0 {
			w.fail(strconv.ErrRange)
		}
		took = time.Duration(ms) * time.Millisecond
	}
	if w.err != nil {
		return "", w.err
	}
	return "ok", d.current().Report(modID, cmdID, netip.AddrPortFrom(ip, uint16(port)), retcode, took)
}

func (d *driver) call(w *words) (string, error) {
	modID, cmdID := w.module()
	took := w.ms("took_ms", 0)
	var badCode int32
	if text, ok := w.named["bad_code"]; ok {
		badCode = int32(w.number(text, 32))
	}
	list := append(w.options(), lars.RetcodeFor(func(error, lars.Host) int32 { return badCode }))
	if w.err != nil {
		return "", w.err
	}
	var node string
	tries := 0
	err := d.current().Call(ctx, modID, cmdID, func(own context.Context, one lars.Attempt) error {
		tries++
		node = one.Addr().String()
		select {
		case <-own.Done():
			return own.Err()
		case <-time.After(took):
		}
		if w.isBad(node) {
			return errNode
		}
		return nil
	}, list...)
	switch {
	case err == nil:
		return fmt.Sprintf("called %s tries=%d", node, tries), nil
	case err == errNode:
		return fmt.Sprintf("failed tries=%d", tries), nil
	}
	if errors.Is(err, lars.ErrRange) {
		return "", err
	}
	return fmt.Sprintf("%s tries=%d", errorWords(err), tries), nil
}

// loadCounts is what load saw.
type loadCounts struct {
	mutex             sync.Mutex
	ok, stale, failed int
	longest           time.Duration
	nodes             map[string]int
}

func (l *loadCounts) add(one lars.HostAnswer, took time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if took > l.longest {
		l.longest = took
	}
	switch {
	case one.RetCode != lars.Success:
		l.failed++
		return
	case one.Host.Stale():
		l.stale++
	default:
		l.ok++
	}
	l.nodes[one.Host.Addr().String()]++
}

func (l *loadCounts) words() string {
	var seen []string
	most := ""
	for node, count := range l.nodes {
		seen = append(seen, node)
		if most == "" || count > l.nodes[most] {
			most = node
		}
	}
	sort.Strings(seen)
	return fmt.Sprintf("load ok=%d stale=%d failed=%d longest_ms=%d nodes=%s most=%s",
		l.ok, l.stale, l.failed, l.longest.Milliseconds()+1, strings.Join(seen, ","), most)
}

// load picks and reports in a row, several at a time, for as long as is said.
func (d *driver) load(w *words) (string, error) {
	modID, cmdID := w.module()
	threads := 1
	if text, ok := w.named["threads"]; ok {
		threads = int(w.number(text, 32))
	}
	pause := time.Millisecond
	if _, ok := w.named["pause_ms"]; ok {
		pause = w.ms("pause_ms", 0)
	}
	end := time.Now().Add(w.ms("ms", 0))
	counts := &loadCounts{nodes: map[string]int{}}
	client := d.current()
	var group sync.WaitGroup
	for i := 0; i < threads; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for calls := 0; calls < loadCallsMin || time.Now().Before(end); calls++ {
				start := time.Now()
				one := client.TryGetHost(ctx, modID, cmdID)
				counts.add(one, time.Since(start))
				if one.RetCode == lars.Success {
					code := int32(0)
					if w.isBad(one.Host.Addr().String()) {
						code = 111
					}
					_ = client.Report(modID, cmdID, one.Host.Addr(), code, time.Millisecond)
				}
				time.Sleep(pause)
			}
		}()
	}
	group.Wait()
	return counts.words(), nil
}

func (d *driver) stats() string {
	s := d.current().Stats()
	return fmt.Sprintf("stats pending=%d resent=%d late=%d garbage=%d foreign=%d dropped=%d stale=%d "+
		"retried=%d retries_refused=%d", s.Pending, s.Resent, s.Late, s.Garbage, s.Foreign, s.Dropped,
		s.Stale, s.Retried, s.RetriesRefused)
}

func main() {
	client, err := lars.New(lars.Config{})
	if err != nil {
		panic(err)
	}
	d := &driver{client: client}
	var mutex sync.Mutex
	say := func(id, result string) {
		mutex.Lock()
		defer mutex.Unlock()
		fmt.Printf("%s %s\n", id, result)
	}
	say("driver", "1 threads table")
	var group sync.WaitGroup
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		list := strings.Fields(input.Text())
		group.Add(1)
		go func() {
			defer group.Done()
			result, err := d.answer(list[1], parseWords(list[2:]))
			if err != nil {
				result = errorWords(err)
			}
			say(list[0], result)
		}()
	}
	group.Wait()
}
