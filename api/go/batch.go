// Shell. Outcomes in batches: 512 records at once, or after 10 ms, or when a node fails: proto/batched_reports.md.

package lars

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	idBatchedReport = 83
	// Records that are sent as soon as so many wait; and how long the first one may wait.
	batchRecords = 512
	batchWait    = 10 * time.Millisecond
	// failingMax: nodes known as failing; first failures of further ones wait with the batch.
	failingMax = 1024

	// batchOutcomesMax: outcomes of all runs of a batch.
	batchOutcomesMax = 65536

	recordBytes       = 24
	recordTimeUnknown = 0xffffffff
	// runMark is the mark of a record that stands for several outcomes, in the upper half of its node.
	runMark = 1 << 31
	// runPlaces say which record may be that of a node.
	runPlaces = 1024
)

// record is the outcome of a call; a node of 0 says that the module is in use (retcode 0), or that a
// caller was refused (1).
type record struct {
	module  moduleID
	node    tableEntry
	retcode int32
	timeMs  uint32
}

type failingNode struct {
	module moduleID
	node   tableEntry
}

// batch has the outcomes of one client on their way to an agent whose table it has mapped.
type batch struct {
	counters *counters
	mutex    sync.Mutex
	records  [batchRecords * recordBytes]byte
	length   int
	// outcomes that wait; behindFailures is the first record behind all failures.
	outcomes       uint64
	behindFailures int
	// places are numbers of records; one that is left of an earlier batch is another's, or none.
	places    [runPlaces]uint16
	takesRuns bool
	// isTimed: a timer will send what waits.
	isTimed bool
	timer   *time.Timer
	failing map[failingNode]struct{}
	address *net.UDPAddr
	conn    *net.UDPConn
	// token seals batches to an address beyond loopback.
	token  []byte
	seal   *sealer
	sender uint32
	first  uint64
}

func newBatch(counters *counters, token []byte) *batch {
	return &batch{counters: counters, token: token, failing: map[failingNode]struct{}{}}
}

// open: a table was mapped, and its outcomes go to the agent that it names, by a new sender.
func (b *batch) open(image *tableImage) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.send()
	b.closeConn()
	b.address = net.UDPAddrFromAddrPort(addrOf(image.ip, image.port))
	b.takesRuns = image.takesRuns
}

func (b *batch) add(one record) {
	b.mutex.Lock()
	if !b.addToRun(&one) {
		b.put(&one)
	}
	b.outcomes++
	isFull := b.length == len(b.records) || b.outcomes == batchOutcomesMax
	switch {
	case b.isFirstFailure(&one) || isFull:
		b.send()
	case !b.isTimed:
		b.isTimed = true
		if b.timer == nil {
			b.timer = time.AfterFunc(batchWait, b.onTimer)
		} else {
			b.timer.Reset(batchWait)
		}
	}
	b.mutex.Unlock()
}

func (b *batch) put(one *record) {
	at := b.records[b.length : b.length+recordBytes]
	binary.LittleEndian.PutUint32(at, one.module.modID)
	binary.LittleEndian.PutUint32(at[4:], one.module.cmdID)
	binary.LittleEndian.PutUint64(at[8:], uint64(one.node))
	binary.LittleEndian.PutUint32(at[16:], uint32(one.retcode))
	binary.LittleEndian.PutUint32(at[20:], one.timeMs)
	b.length += recordBytes
	if one.retcode != reportSuccess && one.node != 0 {
		b.behindFailures = b.length / recordBytes
	}
}

// addToRun adds a success to a record that waits, if there is one for it.
func (b *batch) addToRun(one *record) bool {
	if !b.takesRuns || one.retcode != reportSuccess || one.node == 0 {
		return false
	}
	hash := (uint32(one.node)^uint32(one.node>>32))*0x9e3779b1 ^
		(one.module.modID+one.module.cmdID)*0x85ebca6b ^ one.timeMs*0x2c1b3c6d
	place := &b.places[(hash^hash>>15)>>8%runPlaces]
	known, count := int(*place), b.length/recordBytes
	*place = uint16(count)
	if known < b.behindFailures || known >= count {
		return false
	}
	at := b.records[known*recordBytes : (known+1)*recordBytes]
	node := binary.LittleEndian.Uint64(at[8:])
	isSame := tableEntry(node&^(runMark<<32)) == one.node &&
		binary.LittleEndian.Uint32(at) == one.module.modID &&
		binary.LittleEndian.Uint32(at[4:]) == one.module.cmdID &&
		binary.LittleEndian.Uint32(at[20:]) == one.timeMs
	if !isSame {
		return false
	}
	*place = uint16(known)
	run := uint32(2)
	if node>>32&runMark != 0 {
		run = binary.LittleEndian.Uint32(at[16:]) + 1
	}
	binary.LittleEndian.PutUint64(at[8:], node|runMark<<32)
	binary.LittleEndian.PutUint32(at[16:], run)
	return true
}

// isFirstFailure is true for a failure of a node that did not fail before.
func (b *batch) isFirstFailure(one *record) bool {
	if one.retcode == reportSuccess && len(b.failing) == 0 || one.node == 0 {
		return false
	}
	key := failingNode{one.module, one.node}
	if one.retcode == reportSuccess {
		delete(b.failing, key)
		return false
	}
	if _, isFailing := b.failing[key]; isFailing || len(b.failing) >= failingMax {
		return false
	}
	b.failing[key] = struct{}{}
	return true
}

func (b *batch) onTimer() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.isTimed = false
	b.send()
}

func (b *batch) close() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.send()
	b.closeConn()
}

func (b *batch) closeConn() {
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
}

// send sends what waits, under the lock.
func (b *batch) send() {
	if b.length == 0 {
		return
	}
	content := b.records[:b.length]
	count := b.outcomes
	b.length, b.outcomes, b.behindFailures = 0, 0, 0
	if !b.openConn() {
		b.counters.dropped.Add(count)
		return
	}
	datagram := make([]byte, headBytes, headBytes+24+len(content))
	datagram = appendUint32(datagram, 1, b.sender)
	if b.first > 0 {
		datagram = binary.AppendUvarint(appendTag(datagram, 2, wireVarint), b.first)
	}
	datagram = frame(idBatchedReport, appendBytes(datagram, 3, content))
	if b.seal != nil {
		datagram = b.seal.seal(datagram, time.Now())
	}
	// Also of one that is lost: the agent sees the gap, and counts what was in it.
	b.first += count
	_, err := b.conn.Write(datagram)
	if errors.Is(err, syscall.ECONNREFUSED) {
		// The refusal was that of an earlier datagram, and this one was not sent.
		_, err = b.conn.Write(datagram)
	}
	if err != nil {
		b.counters.dropped.Add(count)
	}
}

func (b *batch) openConn() bool {
	if b.conn != nil || b.address == nil {
		return b.conn != nil
	}
	var seal *sealer
	if !b.address.IP.IsLoopback() {
		var err error
		if seal, err = newSealer(b.token); err != nil {
			return false
		}
	}
	conn, err := net.DialUDP("udp4", nil, b.address)
	if err != nil {
		return false
	}
	b.conn, b.seal, b.first = conn, seal, 0
	b.sender = uint32(randomSeed()) | 1
	return true
}

// randomSeed is a number by chance.
func randomSeed() int64 {
	var chance [8]byte
	if _, err := rand.Read(chance[:]); err != nil {
		return time.Now().UnixNano()
	}
	return int64(binary.LittleEndian.Uint64(chance[:]))
}
