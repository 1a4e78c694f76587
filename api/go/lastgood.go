// Core. Nodes the agent named lately, for the time when it does not answer.

package lars

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lastGoodModulesMax: modules remembered; the one not used for longest is forgotten for a new one.
	lastGoodModulesMax = 1024
	// lastGoodHostsMax: nodes remembered for each; the one named longest ago is forgotten for a new one.
	lastGoodHostsMax = 8
	// A node whose call failed rests so long, twice as long after each further failure, up to the max.
	restMin = time.Second
	restMax = 30 * time.Second
)

type memory struct {
	host     Host
	at       time.Time
	failures int
	restEnd  time.Time
}

type moduleMemory struct {
	// hosts in the order in which their turns come.
	hosts []*memory
	used  uint64
}

// lastGood has the nodes each module got last. A node that fails is passed over for a while and never
// forgotten for it: whoever has nothing better tries it again, so that an outage of all nodes ends
// when they are back.
type lastGood struct {
	keep    time.Duration
	mutex   sync.Mutex
	modules map[moduleID]*moduleMemory
	uses    uint64
	// hasFailures: a node has failed lately; only then a success says something new.
	hasFailures atomic.Bool
}

// newLastGood: keep is for how long a node may be handed out again; 0 remembers nothing.
func newLastGood(keep time.Duration) *lastGood {
	return &lastGood{keep: keep, modules: map[moduleID]*moduleMemory{}}
}

// remember notes that the agent named this node.
func (l *lastGood) remember(module moduleID, host Host, now time.Time) {
	if l.keep == 0 {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.put(module, host, now)
}

// put remembers a node; the lock is held.
func (l *lastGood) put(module moduleID, host Host, now time.Time) {
	one := l.modules[module]
	if one == nil {
		if len(l.modules) >= lastGoodModulesMax {
			l.forgetOldest()
		}
		one = &moduleMemory{}
		l.modules[module] = one
	}
	l.uses++
	one.used = l.uses
	one.take(host.Addr())
	one.hosts = append(one.hosts, &memory{host: host, at: now})
	if len(one.hosts) > lastGoodHostsMax {
		one.hosts = one.hosts[1:]
	}
}

// judge notes how a call of this node went.
func (l *lastGood) judge(module moduleID, addr netip.AddrPort, isWell bool, now time.Time) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	one := l.modules[module]
	if one == nil {
		return
	}
	for _, node := range one.hosts {
		if node.host.Addr() != addr {
			continue
		}
		if isWell {
			node.failures, node.restEnd = 0, time.Time{}
			l.hasFailures.Store(l.anyFailure())
			return
		}
		l.hasFailures.Store(true)
		rest := restMax
		if node.failures < 5 {
			rest = restMin << node.failures
		}
		node.failures++
		node.restEnd = now.Add(rest)
		return
	}
}

func (l *lastGood) anyFailure() bool {
	for _, one := range l.modules {
		for _, node := range one.hosts {
			if node.failures > 0 {
				return true
			}
		}
	}
	return false
}

// rests is true for a node whose call failed a moment ago.
func (l *lastGood) rests(module moduleID, addr netip.AddrPort, now time.Time) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	one := l.find(module, addr)
	return one != nil && now.Before(one.restEnd)
}

// learn remembers a node that is not known yet, so that it can be judged.
func (l *lastGood) learn(module moduleID, host Host, now time.Time) {
	l.mutex.Lock()
	isKnown := l.find(module, host.Addr()) != nil
	l.mutex.Unlock()
	if !isKnown {
		l.remember(module, host, now)
	}
}

func (l *lastGood) find(module moduleID, addr netip.AddrPort) *memory {
	if one := l.modules[module]; one != nil {
		for _, node := range one.hosts {
			if node.host.Addr() == addr {
				return node
			}
		}
	}
	return nil
}

// fill remembers a node that is not known yet, while there is room; false when there is none.
func (l *lastGood) fill(module moduleID, host Host, now time.Time) bool {
	if l.keep == 0 {
		return false
	}
	l.mutex.Lock()
	one := l.modules[module]
	isFull := one != nil && len(one.hosts) >= lastGoodHostsMax
	l.mutex.Unlock()
	if isFull {
		return false
	}
	l.learn(module, host, now)
	return true
}

// replace: these are the nodes of the module now. What is known of those that stay is kept; there is
// room for lastGoodHostsMax of them.
func (l *lastGood) replace(module moduleID, hosts []Host, now time.Time) {
	named := make(map[netip.AddrPort]bool, len(hosts))
	for _, host := range hosts {
		named[host.Addr()] = true
	}
	// All at once: whoever picks meanwhile has the nodes before or these.
	l.mutex.Lock()
	defer l.mutex.Unlock()
	count := 0
	if one := l.modules[module]; one != nil {
		var kept []*memory
		for _, node := range one.hosts {
			if named[node.host.Addr()] {
				node.at = now
				kept = append(kept, node)
			}
		}
		one.hosts, count = kept, len(kept)
	}
	for _, host := range hosts {
		if count >= lastGoodHostsMax {
			return
		}
		if l.find(module, host.Addr()) == nil {
			l.put(module, host, now)
			count++
		}
	}
}

// knows is true when there are nodes of the module that are young enough to be given.
func (l *lastGood) knows(module moduleID, now time.Time) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if one := l.modules[module]; one != nil {
		for _, node := range one.hosts {
			if now.Sub(node.at) <= l.keep {
				return true
			}
		}
	}
	return false
}

// next is a node that is young enough, in turn: one that has not failed a moment ago, else any.
func (l *lastGood) next(module moduleID, now time.Time) (Host, bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	one := l.modules[module]
	if one == nil {
		return Host{}, false
	}
	var young []*memory
	for _, node := range one.hosts {
		if now.Sub(node.at) <= l.keep {
			young = append(young, node)
		}
	}
	one.hosts = young
	if len(young) == 0 {
		return Host{}, false
	}
	chosen := young[0]
	for _, node := range young {
		if !now.Before(node.restEnd) {
			chosen = node
			break
		}
	}
	one.take(chosen.host.Addr())
	one.hosts = append(one.hosts, chosen)
	return chosen.host, true
}

func (l *lastGood) forgetOldest() {
	var oldest moduleID
	var used uint64
	for module, one := range l.modules {
		if used == 0 || one.used < used {
			oldest, used = module, one.used
		}
	}
	delete(l.modules, oldest)
}

// take removes a node from the list.
func (m *moduleMemory) take(addr netip.AddrPort) {
	for at, node := range m.hosts {
		if node.host.Addr() == addr {
			m.hosts = append(m.hosts[:at:at], m.hosts[at+1:]...)
			return
		}
	}
}
