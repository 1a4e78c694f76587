// Test. Writes tables as the agent does, for readers: proto/shared_table.md.

package lars

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	fileSlots     = 2048
	fileFirstWord = directoryWord + fileSlots*slotWords
)

// tableFile is a table of a few modules; everything about it can be changed while it is mapped.
type tableFile struct {
	t     testing.TB
	path  string
	data  []byte
	free  int
	slots map[moduleID]int
}

func newTableFile(t testing.TB, path string, port int) *tableFile {
	f := &tableFile{
		t: t, path: path, free: fileFirstWord, slots: map[moduleID]int{},
		data: make([]byte, (fileFirstWord+40_000)*8),
	}
	f.put64(0, tableMagic)
	f.put64(8, tableVersion|tableHeaderBytes<<32)
	f.put64(16, uint64(len(f.data)))
	f.put64(24, 7)
	f.put64(32, fileSlots|tableSlotBytes<<32)
	f.put64(40, fileFirstWord)
	f.put64(48, 0x7f000001|uint64(port)<<32)
	f.beat(0)
	return f
}

func tablePath(t testing.TB) string { return filepath.Join(t.TempDir(), "table") }

func (f *tableFile) put64(offset int, value uint64) {
	binary.LittleEndian.PutUint64(f.data[offset:], value)
}

// beat is the heartbeat, so old.
func (f *tableFile) beat(age time.Duration) {
	f.put64(64, uint64((monotonicNow()-age)/time.Millisecond))
}

func (f *tableFile) retire() { f.put64(128, 1) }

func (f *tableFile) slot(modID, cmdID uint32) int {
	module := moduleID{modID, cmdID}
	at, ok := f.slots[module]
	if !ok {
		at = int(moduleHash(modID, cmdID) % fileSlots)
		for taken := true; taken; {
			taken = false
			for _, other := range f.slots {
				if other == at {
					taken, at = true, (at+1)%fileSlots
				}
			}
		}
		f.slots[module] = at
		f.put64(tableHeaderBytes+at*tableSlotBytes, uint64(modID)|uint64(cmdID)<<32)
	}
	return tableHeaderBytes + at*tableSlotBytes
}

func (f *tableFile) block(words []uint64) uint64 {
	at := f.free
	for i, word := range words {
		f.put64((at+i)*8, word)
	}
	f.free += len(words)
	return uint64(at)
}

func (f *tableFile) setSchedule(modID, cmdID uint32, entries ...uint64) {
	f.put64(f.slot(modID, cmdID)+8, f.block(entries)|uint64(len(entries))<<32)
}

func (f *tableFile) setKeyed(modID, cmdID uint32, words ...uint64) {
	f.put64(f.slot(modID, cmdID)+16, f.block(words)|1<<32)
}

// write makes a new file at the path.
func (f *tableFile) write() *tableFile {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", f.data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
	return f
}

// rewrite changes the same file in place.
func (f *tableFile) rewrite() {
	f.t.Helper()
	f.rewriteAt(0, len(f.data))
}

// rewriteBeat keeps the table alive.
func (f *tableFile) rewriteBeat() {
	f.beat(0)
	f.rewriteAt(64, 72)
}

func (f *tableFile) rewriteAt(from, to int) {
	f.t.Helper()
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(f.data[from:to], int64(from)); err != nil {
		f.t.Fatal(err)
	}
}

// wordOf is an entry: address, port, tag.
func wordOf(ip uint32, port uint16, tag uint64) uint64 {
	return uint64(ip) | uint64(port)<<32 | tag<<48
}
