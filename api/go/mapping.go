// Shell. The agent's table in this process: found, mapped, looked after, and a cursor for each module.

package lars

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	// The table is looked at again after this time, of the 100 ms that it may be.
	tableLook = 50 * time.Millisecond
	// A file is looked for once in this time, and whether there is another one.
	tableOpen = time.Second
	// Looks without a pick between, after which nobody looks until the next pick.
	idleLooksMax = 20
	// Walks through a schedule at the same time; and what tells the stacks of goroutines apart.
	walksMax   = 16
	stackShift = 11
	// A caller that only picks says once in so many looks that it uses a module: 10 s.
	tellLooks = uint32(10 * time.Second / tableLook)
)

// slotState is at which look callers told that they use a module.
type slotState struct {
	told atomic.Uint32
}

// mapping is a table that is mapped; the memory is given back when nobody reads it any more.
type mapping struct {
	image *tableImage
	slots []slotState
	// cursors are where callers are in the schedules of modules, by slot, for each of a few walks.
	cursors  []uint32
	walkMask uint32
	// What a pick needs of the image: where it and its directory begin, and how large they are.
	base, directory unsafe.Pointer
	slotMask        uint32
	firstWord       uint32
	wordCount       uint64
	inode           uint64
	device          uint64
	// looks counts looks from tellLooks on; isUsed is set by picks.
	looks  atomic.Uint32
	isUsed atomic.Bool
}

// cursor is that of a module on the walk of this goroutine. There is nothing of its own to keep one in;
// its stack tells goroutines apart well enough that those of several processors seldom share one.
func (m *mapping) cursor(slot uint32) *uint32 {
	var here byte
	stack := uint32(uintptr(unsafe.Pointer(&here)) >> stackShift)
	walk := (stack * 0x9e3779b1 >> 16) & m.walkMask
	return &m.cursors[walk*(m.slotMask+1)+slot]
}

// tableReader picks without asking anybody, where the agent keeps a table.
type tableReader struct {
	path  string
	port  int // the agent's first one
	batch *batch
	// onLeave is told nodes of the modules that this client uses, when a table is left for another one,
	// which may know less; false: no more of this module.
	onLeave func(module moduleID, host Host) bool
	// usable is the table that picks come from; nil while there is none, or while nobody looks.
	usable atomic.Pointer[mapping]
	// nextOpen is when a file is looked for again, in nanoseconds since start.
	nextOpen atomic.Int64
	start    time.Time

	mutex    sync.Mutex
	last     *mapping
	isBroken bool
	isClosed bool
}

func newTableReader(path string, port int, b *batch) *tableReader {
	return &tableReader{path: path, port: port, batch: b, start: time.Now()}
}

// defaultTablePath is where the agent of this host keeps its table; that of another is not here.
func defaultTablePath(hostname string, firstPort int) string {
	if len(hostname) < 4 || hostname[:4] != "127." {
		return ""
	}
	return fmt.Sprintf("/dev/shm/lars-agent-%d.table", firstPort)
}

// pick gives the entry of the next node of a module, or of that of a key if there is one.
func (r *tableReader) pick(modID, cmdID uint32, key string) (tableEntry, found) {
	m := r.usable.Load()
	if m == nil {
		if m = r.wake(); m == nil {
			return 0, foundNothing
		}
	}
	slot, ok := m.image.find(modID, cmdID)
	if !ok {
		return 0, foundNothing
	}
	state := &m.slots[slot]
	entry, what := m.image.next(slot, m.cursor(slot))
	if what == foundNode && key != "" {
		entry, what = m.image.keyed(slot, key, entry)
	}
	if what != foundNode || m.looks.Load()-state.told.Load() >= tellLooks {
		what = r.tell(m, state, moduleID{modID, cmdID}, what)
	}
	if !m.isUsed.Load() {
		m.isUsed.Store(true)
	}
	runtime.KeepAlive(m)
	return entry, what
}

// pickNext is the way of nearly all picks: the entry of the next node of a module; 0: take the long way,
// which is pick.
func (r *tableReader) pickNext(modID, cmdID uint32) tableEntry {
	m := r.usable.Load()
	if m == nil {
		return 0
	}
	wanted := uint64(modID) | uint64(cmdID)<<32
	slot := moduleHash(modID, cmdID)
	for looks := uint32(0); looks <= m.slotMask; looks++ {
		slot &= m.slotMask
		at := unsafe.Add(m.directory, uintptr(slot)*tableSlotBytes)
		schedule := atomic.LoadUint64((*uint64)(unsafe.Add(at, slotSchedule*8)))
		if schedule == 0 {
			return 0
		}
		if atomic.LoadUint64((*uint64)(at)) != wanted {
			slot++
			continue
		}
		first, count := uint32(schedule), uint32(schedule>>32)
		isPlace := first >= m.firstWord && uint64(first)+uint64(count) <= m.wordCount
		if count == 0 || !isPlace || m.looks.Load()-m.slots[slot].told.Load() >= tellLooks {
			return 0
		}
		cursor := m.cursor(slot)
		index := indexAt(cursor, count)
		word := (uintptr(first) + uintptr(index)) * 8
		entry := tableEntry(atomic.LoadUint64((*uint64)(unsafe.Add(m.base, word))))
		if entry&markRefused != 0 || entry.port() == 0 {
			return 0
		}
		moveTo(cursor, index+1)
		if !m.isUsed.Load() {
			m.isUsed.Store(true)
		}
		runtime.KeepAlive(m)
		return entry
	}
	return 0
}

func (r *tableReader) moduleAt(m *mapping, slot uint32) moduleID {
	ids := m.image.load(directoryWord + uint64(slot)*slotWords)
	return moduleID{uint32(ids), uint32(ids >> 32)}
}

// tell says what has to be said of a pick beside its node.
func (r *tableReader) tell(m *mapping, state *slotState, module moduleID, what found) found {
	switch what {
	case foundBroken:
		r.leave(m, true)
		return foundNothing
	case foundRefusal:
		r.batch.add(record{module: module, retcode: 1, timeMs: recordTimeUnknown})
	case foundNode:
		r.batch.add(record{module: module, timeMs: recordTimeUnknown})
	default:
		return what
	}
	state.told.Store(m.looks.Load())
	return what
}

// pickOld gives a node of a table that nobody keeps any more, the best memory of them there is: one
// that has not failed a moment ago, and is no probe, where there is one.
func (r *tableReader) pickOld(module moduleID, rests func(Host) bool) (Host, bool) {
	r.mutex.Lock()
	m := r.last
	isGood := m != nil && !r.isBroken && r.usable.Load() == nil
	r.mutex.Unlock()
	if !isGood {
		return Host{}, false
	}
	defer runtime.KeepAlive(m)
	slot, ok := m.image.find(module.modID, module.cmdID)
	if !ok {
		return Host{}, false
	}
	var best Host
	bestRank := 0
	for looks := 0; looks < oldLooksMax && bestRank < 3; looks++ {
		entry, what := m.image.next(slot, m.cursor(slot))
		if what == foundRefusal {
			continue
		}
		if what != foundNode {
			break
		}
		// A node that failed a moment ago is worse than a probe, which failed some time ago.
		host, rank := entry.host(), 3
		if rests(host) {
			rank = 1
		} else if entry&markProbe != 0 {
			rank = 2
		}
		if rank > bestRank {
			best, bestRank = host, rank
		}
	}
	return best, bestRank > 0
}

// forgetOld: the agent answers again, so what an old table says is not used any more.
func (r *tableReader) forgetOld() {
	if r.usable.Load() != nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.last != nil && r.usable.Load() == nil && !r.last.image.isUsable(monotonicNow()) {
		r.remember(r.last)
		r.last = nil
	}
}

// remember tells nodes of a table that is left: probes where a module has nothing else.
func (r *tableReader) remember(m *mapping) {
	if m == nil || r.isBroken || r.onLeave == nil {
		return
	}
	for slot := range m.slots {
		if m.slots[slot].told.Load() == 0 {
			continue
		}
		module := r.moduleAt(m, uint32(slot))
		if !r.rememberModule(m, uint32(slot), module, 0) {
			r.rememberModule(m, uint32(slot), module, markProbe)
		}
	}
	runtime.KeepAlive(m)
}

// rememberModule is false when no entry is a node with these marks.
func (r *tableReader) rememberModule(m *mapping, slot uint32, module moduleID, mark tableEntry) bool {
	hasSome := false
	for looks := 0; looks < oldLooksMax; looks++ {
		entry, what := m.image.next(slot, m.cursor(slot))
		if what == foundRefusal || what == foundNode && entry&markProbe != mark {
			continue
		}
		if what != foundNode {
			break
		}
		hasSome = true
		if !r.onLeave(module, entry.host()) {
			break
		}
	}
	return hasSome
}

func (r *tableReader) close() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.isClosed = true
	r.last = nil
	r.usable.Store(nil)
}

// wake looks for a table when none is in use; nil when there is none.
func (r *tableReader) wake() *mapping {
	if r.path == "" {
		return nil
	}
	now := time.Since(r.start)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if m := r.usable.Load(); m != nil || r.isClosed {
		return m
	}
	if r.last == nil || !r.isGood(r.last) {
		if int64(now) < r.nextOpen.Load() {
			return nil
		}
		r.open(now)
	}
	if r.last == nil || !r.isGood(r.last) {
		return nil
	}
	r.last.isUsed.Store(true)
	r.usable.Store(r.last)
	go r.watch()
	return r.last
}

func (r *tableReader) isGood(m *mapping) bool {
	return !r.isBroken && m.image.isUsable(monotonicNow())
}

// watch looks at heartbeat and mark, and for another file, as long as there are picks.
func (r *tableReader) watch() {
	idleLooks := 0
	for {
		time.Sleep(tableLook)
		m := r.usable.Load()
		if m == nil {
			return
		}
		m.looks.Add(1)
		if m.isUsed.Swap(false) {
			idleLooks = 0
		} else if idleLooks++; idleLooks > idleLooksMax {
			r.usable.CompareAndSwap(m, nil) // the next pick wakes another watch
			return
		}
		if !r.lookAgain(m) {
			return
		}
	}
}

// lookAgain is false when the table is not used any more.
func (r *tableReader) lookAgain(m *mapping) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.usable.Load() != m {
		return false
	}
	now := time.Since(r.start)
	if !r.isGood(m) {
		// The next one may be there already.
		r.open(now)
	} else if int64(now) >= r.nextOpen.Load() {
		r.open(now)
	}
	if r.last == nil || !r.isGood(r.last) {
		r.usable.Store(nil)
		return false
	}
	r.usable.Store(r.last)
	return true
}

// leave ends the use of a table that is broken.
func (r *tableReader) leave(m *mapping, isBroken bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.last == m {
		r.isBroken = isBroken
		r.usable.Store(nil)
	}
}

// open maps the file at the path, if it is another one.
func (r *tableReader) open(now time.Duration) {
	r.nextOpen.Store(int64(now + tableOpen))
	m := mapTable(r.path, r.port, r.last)
	if m == nil || !m.image.isUsable(monotonicNow()) {
		return // when nobody writes it any more, what is mapped is as good a memory
	}
	r.remember(r.last)
	r.last, r.isBroken = m, false
	r.batch.open(m.image)
}

// mapTable gives nil when there is no file that can be used, or none but the last one.
func mapTable(path string, port int, last *mapping) *mapping {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var status syscall.Stat_t
	if err := syscall.Fstat(fd, &status); err != nil {
		return nil
	}
	isSame := last != nil && last.inode == status.Ino && last.device == uint64(status.Dev)
	if isSame || status.Size < tableHeaderBytes || !isTrusted(&status, port) {
		return nil
	}
	content, err := syscall.Mmap(fd, 0, int(status.Size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	image, ok := newTableImage(content)
	if !ok {
		_ = syscall.Munmap(content)
		return nil
	}
	m := &mapping{
		image:     image,
		slots:     make([]slotState, image.slotMask+1),
		base:      unsafe.Pointer(&content[0]),
		directory: unsafe.Pointer(&content[tableHeaderBytes]),
		slotMask:  image.slotMask,
		firstWord: image.firstWord,
		wordCount: uint64(len(image.words)),
		inode:     status.Ino,
		device:    uint64(status.Dev),
	}
	m.looks.Store(tellLooks)
	walks := uint32(1)
	for walks < uint32(runtime.GOMAXPROCS(0)) && walks < walksMax {
		walks *= 2
	}
	m.walkMask = walks - 1
	m.cursors = make([]uint32, walks*(image.slotMask+1))
	chance := rand.New(rand.NewSource(randomSeed()))
	for at := range m.cursors {
		m.cursors[at] = chance.Uint32()
	}
	runtime.SetFinalizer(m, func(*mapping) { _ = syscall.Munmap(content) })
	return m
}

// isTrusted is true for a plain file of root, of this user or of the agent's, which nobody else may
// write: anybody may put a file into /dev/shm.
func isTrusted(status *syscall.Stat_t, port int) bool {
	if status.Mode&syscall.S_IFMT != syscall.S_IFREG || status.Mode&0o022 != 0 {
		return false
	}
	return status.Uid == 0 || status.Uid == uint32(os.Geteuid()) || hasAgentPort(status.Uid, port)
}

// hasAgentPort is true when the user has a UDP socket with this port: the agent's.
func hasAgentPort(user uint32, port int) bool {
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return false
	}
	return ownsPort(string(text), user, port)
}

// ownsPort reads /proc/net/udp: the second column ends with the port as hex, the eighth is the user.
func ownsPort(text string, user uint32, port int) bool {
	suffix := fmt.Sprintf(":%04X", port)
	for _, line := range strings.Split(text, "\n") {
		columns := strings.Fields(line)
		if len(columns) > 7 && strings.HasSuffix(columns[1], suffix) &&
			columns[7] == fmt.Sprint(user) {
			return true
		}
	}
	return false
}

// monotonicNow is CLOCK_MONOTONIC, which the agent's heartbeat is told by.
func monotonicNow() time.Duration {
	const clockMonotonic = 1
	var now syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic,
		uintptr(unsafe.Pointer(&now)), 0)
	return time.Duration(now.Nano())
}
