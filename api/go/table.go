// Core. Picks from the bytes of the table that the agent keeps in shared memory: proto/shared_table.md.

package lars

import (
	"encoding/binary"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"
)

const (
	tableMagic       = 0x314c42545352414c // the bytes LARSTBL1
	tableVersion     = 1
	tableHeaderBytes = 4096
	tableSlotBytes   = 32
	slotWords        = tableSlotBytes / 8
	directoryWord    = tableHeaderBytes / 8
	// A heartbeat may be so much older, or newer, than now.
	tableOld   = 2000 * time.Millisecond
	tableAhead = 1000 * time.Millisecond
	// keyedLooksMax: entries of a keyed table that a pick looks at, at most.
	keyedLooksMax = 1024
	// oldLooksMax: entries of an old table that are looked at for one that is well.
	oldLooksMax = 64
)

// Words of the header, and of a slot after its ids.
const (
	wordFileBytes  = 2
	wordGeneration = 3
	wordSlots      = 4
	wordPlaces     = 5
	wordAddress    = 6
	wordTakes      = 7
	wordHeartbeat  = 8
	wordRetired    = 16

	slotSchedule = 1
	slotKeyed    = 2
	slotFlags    = 3

	takesRuns    = 1
	keyedByAgent = 1
	kindRing     = 1
	kindMaglev   = 2
)

// tableEntry is one pick: address, port, and marks from bit 48.
type tableEntry uint64

const (
	markProbe   tableEntry = 1 << 48
	markOut     tableEntry = 1 << 49
	markRefused tableEntry = 1 << 50
	nodeBits    tableEntry = 1<<48 - 1
)

func (e tableEntry) port() uint16 { return uint16(e >> 32) }

func (e tableEntry) host() Host {
	return Host{bits: uint64(e & nodeBits)}
}

// found says what a table knows.
type found int

const (
	// foundNothing: ask the agent.
	foundNothing found = iota
	foundNode
	// foundRefusal: no node; the answer is overload.
	foundRefusal
	// foundBroken: the file is not used any more.
	foundBroken
)

// tableImage is a table, word by word; one load reads one word.
type tableImage struct {
	words     []uint64
	firstWord uint32
	slotMask  uint32
	ip        uint32
	port      uint16
	// takesRuns: the agent takes records that stand for several outcomes.
	takesRuns bool
}

// newTableImage looks whether the bytes are a table of this layout.
func newTableImage(content []byte) (*tableImage, bool) {
	one := uint16(1)
	isLittle := *(*byte)(unsafe.Pointer(&one)) == 1
	if !isLittle || len(content) < tableHeaderBytes || uintptr(unsafe.Pointer(&content[0]))%8 != 0 {
		return nil, false
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&content[0])), len(content)/8)
	image := &tableImage{words: words}
	if image.load(0) != tableMagic || image.load(1) != tableVersion|tableHeaderBytes<<32 {
		return nil, false
	}
	slots := uint32(image.load(wordSlots))
	image.firstWord = uint32(image.load(wordPlaces))
	directoryEnd := uint64(tableHeaderBytes) + uint64(slots)*tableSlotBytes
	isWhole := image.load(wordFileBytes) == uint64(len(content)) &&
		image.load(wordSlots)>>32 == tableSlotBytes &&
		slots > 0 && slots&(slots-1) == 0 &&
		directoryEnd <= uint64(image.firstWord)*8 && uint64(image.firstWord)*8 <= uint64(len(content))
	image.slotMask = slots - 1
	image.ip = uint32(image.load(wordAddress))
	image.port = uint16(image.load(wordAddress) >> 32)
	image.takesRuns = image.load(wordTakes)&takesRuns != 0
	return image, isWhole
}

// load is an ordered load of 8 bytes: what the schedule names was written before it.
func (t *tableImage) load(word uint64) uint64 { return atomic.LoadUint64(&t.words[word]) }

// isUsable tells by the clock that only goes forward.
func (t *tableImage) isUsable(monotonic time.Duration) bool {
	beat := time.Duration(t.load(wordHeartbeat)) * time.Millisecond
	return t.load(0) == tableMagic && uint32(t.load(wordRetired)) == 0 &&
		beat >= monotonic-tableOld && beat <= monotonic+tableAhead
}

func moduleHash(modID, cmdID uint32) uint32 {
	h := modID*0x9e3779b1 ^ cmdID*0x85ebca6b
	h ^= h >> 15
	h *= 0x2c1b3c6d
	return h ^ h>>13
}

// find gives the slot of a module, which stays.
func (t *tableImage) find(modID, cmdID uint32) (slot uint32, ok bool) {
	wanted := uint64(modID) | uint64(cmdID)<<32
	slot = moduleHash(modID, cmdID)
	for looks := uint32(0); looks <= t.slotMask; looks++ {
		slot &= t.slotMask
		at := directoryWord + uint64(slot)*slotWords
		if t.load(at+slotSchedule) == 0 {
			return 0, false
		}
		if t.load(at) == wanted {
			return slot, true
		}
		slot++
	}
	return 0, false
}

// indexAt is where a cursor stands in a schedule of so many entries.
func indexAt(cursor *uint32, count uint32) uint32 {
	index := atomic.LoadUint32(cursor)
	if index >= count {
		index %= count
	}
	return index
}

// next gives the entry at the cursor, and moves that on; beyond the schedule it begins anew.
func (t *tableImage) next(slot uint32, cursor *uint32) (tableEntry, found) {
	schedule := t.load(directoryWord + uint64(slot)*slotWords + slotSchedule)
	first, count := uint32(schedule), uint32(schedule>>32)
	if count == 0 {
		return 0, foundNothing
	}
	if first < t.firstWord || uint64(first)+uint64(count) > uint64(len(t.words)) {
		return 0, foundBroken
	}
	index := indexAt(cursor, count)
	moveTo(cursor, index+1)
	entry := tableEntry(t.load(uint64(first + index)))
	switch {
	case entry&markRefused != 0:
		return entry, foundRefusal
	case entry.port() == 0:
		return entry, foundNothing
	}
	return entry, foundNode
}

// keyed gives the entry for a key, where the schedule gave `any`.
func (t *tableImage) keyed(slot uint32, key string, any tableEntry) (tableEntry, found) {
	at := directoryWord + uint64(slot)*slotWords
	if any&markProbe != 0 {
		return any, foundNode
	}
	if t.load(at+slotFlags)&keyedByAgent != 0 || !utf8.ValidString(key) {
		return 0, foundNothing
	}
	block := uint64(uint32(t.load(at + slotKeyed)))
	if block == 0 {
		return any, foundNode
	}
	if block < uint64(t.firstWord) || block >= uint64(len(t.words)) {
		return 0, foundBroken
	}
	kind, count := uint32(t.load(block)), uint32(t.load(block)>>32)
	if kind != kindRing && kind != kindMaglev || count == 0 {
		return 0, foundNothing
	}
	entries := block + 1
	if kind == kindRing {
		entries += (uint64(count) + 1) / 2
	}
	if entries+uint64(count) > uint64(len(t.words)) {
		return 0, foundBroken
	}
	hash := tableKey([]byte(key))
	index, step := hash%count, uint32(0)
	if kind == kindRing {
		index, step = t.ringIndex(block+1, count, hash), 1
	} else if count > 1 {
		step = maglevSkip(hash)%(count-1) + 1
	}
	for looks := uint32(0); looks < count && looks < keyedLooksMax; looks++ {
		entry := tableEntry(t.load(entries + uint64(index)))
		if entry&markOut == 0 && entry.port() != 0 {
			return entry, foundNode
		}
		index = uint32((uint64(index) + uint64(step)) % uint64(count))
	}
	return any, foundNode
}

func (t *tableImage) ringIndex(first uint64, count, key uint32) uint32 {
	low, high := uint32(0), count
	for low < high {
		middle := low + (high-low)/2
		if uint32(t.load(first+uint64(middle/2))>>(32*(middle&1))) < key {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == count {
		return 0
	}
	return low
}

// tableKey is what keyed tables are looked up by.
func tableKey(key []byte) uint32 { return murmur3(key) >> 1 }

// maglevSkip is what the step through a Maglev table comes from.
func maglevSkip(key uint32) uint32 {
	return murmur3(binary.LittleEndian.AppendUint32(nil, key)) >> 1
}

// murmur3 is MurmurHash3 x86 32 with seed 0.
func murmur3(data []byte) uint32 {
	mix := func(k uint32) uint32 {
		k *= 0xcc9e2d51
		return (k<<15 | k>>17) * 0x1b873593
	}
	h := uint32(0)
	rest := data
	for ; len(rest) >= 4; rest = rest[4:] {
		h ^= mix(binary.LittleEndian.Uint32(rest))
		h = (h<<13|h>>19)*5 + 0xe6546b64
	}
	tail := uint32(0)
	for at := len(rest) - 1; at >= 0; at-- {
		tail = tail<<8 | uint32(rest[at])
	}
	if len(rest) > 0 {
		h ^= mix(tail)
	}
	h ^= uint32(len(data))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
