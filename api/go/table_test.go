// Test. Picks from a table in shared memory, and outcomes in batches.

package lars

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"
)

var background = context.Background()

func TestTheNumbersOfTheTablesContract(t *testing.T) {
	text, err := os.ReadFile("../../proto/shared_table_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		ModuleHashes []struct{ ModID, CmdID, Hash uint32 }
		Keys         []struct {
			Bytes                string
			TableKey, MaglevSkip uint32
		}
		Entries []struct {
			Port                uint16
			Probe, Out, Refused bool
			Word                string
		}
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, one := range all.ModuleHashes {
		if got := moduleHash(one.ModID, one.CmdID); got != one.Hash {
			t.Errorf("%+v: %d", one, got)
		}
	}
	for _, one := range all.Keys {
		key := tableKey(unhex(t, one.Bytes))
		if key != one.TableKey || maglevSkip(key) != one.MaglevSkip {
			t.Errorf("%+v: %d %d", one, key, maglevSkip(key))
		}
	}
	for _, one := range all.Entries {
		word, err := strconv.ParseUint(one.Word, 16, 64)
		entry := tableEntry(word)
		if err != nil || entry.port() != one.Port || (entry&markProbe != 0) != one.Probe ||
			(entry&markOut != 0) != one.Out || (entry&markRefused != 0) != one.Refused {
			t.Errorf("%+v", one)
		}
	}
	if len(all.ModuleHashes) < 5 || len(all.Keys) < 4 || len(all.Entries) < 4 {
		t.Error("too few vectors")
	}
}

// threeNodes is a table of module (1, 1) with the nodes 0.0.0.1 to 0.0.0.3.
func threeNodes(t *testing.T, port int) *tableFile {
	file := newTableFile(t, tablePath(t), port)
	file.setSchedule(1, 1, wordOf(1, 80, 0), wordOf(2, 80, 0), wordOf(3, 80, 0))
	return file
}

func newReader(t *testing.T, path string) *tableReader {
	reader := newTableReader(path, 9, newBatch(&counters{}, nil))
	t.Cleanup(reader.close)
	return reader
}

func pickIP(t *testing.T, reader *tableReader, key string) uint32 {
	t.Helper()
	entry, what := reader.pick(1, 1, key)
	if what != foundNode {
		t.Fatalf("nothing was picked: %v", what)
	}
	return uint32(entry)
}

func TestAWalkThroughTheScheduleFromAnyPlace(t *testing.T) {
	file := threeNodes(t, 9).write()
	starts := map[uint32]bool{}
	for i := 0; i < 40; i++ {
		reader := newReader(t, file.path)
		first := pickIP(t, reader, "")
		starts[first] = true
		seen := map[uint32]bool{first: true, pickIP(t, reader, ""): true, pickIP(t, reader, ""): true}
		if len(seen) != 3 || pickIP(t, reader, "") != first {
			t.Fatalf("no walk: %v", seen)
		}
	}
	if len(starts) != 3 {
		t.Errorf("callers walk in step: %v", starts)
	}
}

func TestGoroutinesShareAScheduleEvenly(t *testing.T) {
	reader := newReader(t, threeNodes(t, 9).write().path)
	var mutex sync.Mutex
	counts := map[uint32]int{}
	var group sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			own := map[uint32]int{}
			for i := 0; i < 3000; i++ {
				entry, _ := reader.pick(1, 1, "")
				own[uint32(entry)]++
			}
			mutex.Lock()
			defer mutex.Unlock()
			for ip, count := range own {
				counts[ip] += count
			}
		}()
	}
	group.Wait()
	if fmt.Sprint(counts) != "map[1:8000 2:8000 3:8000]" {
		t.Errorf("%v", counts)
	}
}

func TestWhatTheTableDoesNotHaveIsAskedFor(t *testing.T) {
	agent := startAgent(t, [3]int{}, oneNode)
	file := threeNodes(t, agent.ports[0])
	file.setSchedule(2, 1)
	file.write()
	client := newClient(t, Config{Ports: agent.ports, SharedTable: file.path, Deadline: patient})
	if host, err := client.GetHost(background, 1, 1); err != nil || ipNumber(host.Addr().Addr()) > 3 {
		t.Errorf("%v %v", host, err)
	}
	if agent.count(0) != 0 {
		t.Error("the agent was asked")
	}
	for _, module := range []moduleID{{9, 9}, {2, 1}} {
		host, err := client.GetHost(background, module.modID, module.cmdID)
		if err != nil || host.Addr() != node(0x0a000001).Addr() {
			t.Errorf("%v: %v %v", module, host, err)
		}
	}
}

func TestARefusalIsOverloadAndIsTold(t *testing.T) {
	agent := startAgent(t, [3]int{}, oneNode)
	file := newTableFile(t, tablePath(t), agent.ports[0])
	file.setSchedule(1, 1, wordOf(0, 0, 4))
	client := newClient(t, Config{Ports: agent.ports, SharedTable: file.write().path})
	if _, err := client.GetHost(background, 1, 1); !errors.Is(err, ErrOverload) {
		t.Errorf("%v", err)
	}
	if one := client.TryGetHost(background, 1, 1); one.RetCode != Overload {
		t.Errorf("%+v", one)
	}
	client.Close()
	until(t, "the refusals", func() bool {
		all := agent.records(t)
		return len(all) == 2 && all[0].retcode == 1 && all[1].node == 0
	})
}

func TestChangesInPlaceAreSeenAndANewFileIsMapped(t *testing.T) {
	file := threeNodes(t, 9).write()
	reader := newReader(t, file.path)
	pickIP(t, reader, "")
	file.setSchedule(1, 1, wordOf(7, 70, 0))
	file.rewrite()
	if ip := pickIP(t, reader, ""); ip != 7 {
		t.Errorf("%d", ip)
	}
	newer := newTableFile(t, file.path, 9)
	newer.setSchedule(1, 1, wordOf(8, 88, 0))
	newer.write()
	until(t, "the new table", func() bool {
		newer.rewriteBeat()
		entry, _ := reader.pick(1, 1, "")
		return uint32(entry) == 8
	})
}

func TestARetiredOrOldTableIsNotUsed(t *testing.T) {
	for name, spoil := range map[string]func(*tableFile){
		"retired": (*tableFile).retire,
		"old":     func(f *tableFile) { f.beat(5 * time.Second) },
		"ahead":   func(f *tableFile) { f.beat(-5 * time.Second) },
	} {
		file := threeNodes(t, 9).write()
		reader := newReader(t, file.path)
		pickIP(t, reader, "")
		spoil(file)
		file.rewrite()
		until(t, "the end of its use: "+name, func() bool {
			_, what := reader.pick(1, 1, "")
			return what == foundNothing
		})
	}
}

func TestNobodyLooksWhileNobodyPicks(t *testing.T) {
	file := threeNodes(t, 9).write()
	reader := newReader(t, file.path)
	pickIP(t, reader, "")
	until(t, "rest", func() bool {
		file.rewriteBeat()
		return reader.usable.Load() == nil
	})
	pickIP(t, reader, "")
}

func TestAFileThatIsNoTableIsLeftAlone(t *testing.T) {
	for offset, value := range map[int]uint64{
		0: 1, 8: 2 | tableHeaderBytes<<32, 16: 4096, 32: 15 | tableSlotBytes<<32,
		33: 1 << 30, 36: 24, 40: 1, 64: 0,
	} {
		file := threeNodes(t, 9)
		file.put64(offset, value)
		if _, what := newReader(t, file.write().path).pick(1, 1, ""); what != foundNothing {
			t.Errorf("%d at %d: %v", value, offset, what)
		}
	}
	for _, path := range []string{t.TempDir(), tablePath(t), "/dev/null"} {
		if _, what := newReader(t, path).pick(1, 1, ""); what != foundNothing {
			t.Errorf("%s: %v", path, what)
		}
	}
}

func TestAFileThatOthersMayWriteIsLeftAlone(t *testing.T) {
	file := threeNodes(t, 9).write()
	if err := os.Chmod(file.path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, what := newReader(t, file.path).pick(1, 1, ""); what != foundNothing {
		t.Errorf("%v", what)
	}
	const sockets = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
  12: 0100007F:22B8 00000000:0000 07 00000000:00000000 00:00000000 00000000  1001        0 1 2 3 0
`
	if !ownsPort(sockets, 1001, 8888) || ownsPort(sockets, 1001, 8889) || ownsPort(sockets, 0, 8888) {
		t.Error("the owner of the agent's port is read wrongly")
	}
}

func TestAScheduleBeyondTheFileEndsItsUse(t *testing.T) {
	for _, schedule := range []uint64{1 | 1<<32, 1<<30 | 5<<32, 600 | 0xffffffff<<32} {
		file := threeNodes(t, 9)
		file.put64(file.slot(1, 1)+8, schedule)
		reader := newReader(t, file.write().path)
		if _, what := reader.pick(1, 1, ""); what != foundNothing || reader.usable.Load() != nil {
			t.Errorf("%x: %v", schedule, what)
		}
	}
}

func TestKeysOfARing(t *testing.T) {
	hashes := []uint64{100, 1 << 30, 1<<31 - 5}
	file := threeNodes(t, 9)
	file.setKeyed(1, 1, kindRing|3<<32, hashes[0]|hashes[1]<<32, hashes[2],
		wordOf(11, 80, 0), wordOf(12, 80, 0), wordOf(13, 80, 0))
	reader := newReader(t, file.write().path)
	seen := map[uint32]bool{}
	for i := 0; i < 200; i++ {
		key := fmt.Sprintf("user-%d", i)
		wanted := uint32(11)
		for at := len(hashes) - 1; at >= 0; at-- {
			if hashes[at] >= uint64(tableKey([]byte(key))) {
				wanted = uint32(11 + at)
			}
		}
		got := pickIP(t, reader, key)
		seen[got] = true
		if got != wanted {
			t.Errorf("%s: %d, wanted %d", key, got, wanted)
		}
	}
	if len(seen) < 2 {
		t.Errorf("keys are not spread: %v", seen)
	}
}

func TestKeysOfMaglevPassOverNodesThatAreOut(t *testing.T) {
	const count = 7
	words := []uint64{kindMaglev | count<<32}
	for i := uint32(0); i < count; i++ {
		words = append(words, wordOf(20+i, 80, uint64(i%2)*2))
	}
	file := threeNodes(t, 9)
	file.setKeyed(1, 1, words...)
	reader := newReader(t, file.write().path)
	for i := 0; i < 100; i++ {
		key := fmt.Sprintf("user-%d", i)
		hash := tableKey([]byte(key))
		at, step := hash%count, maglevSkip(hash)%(count-1)+1
		for at%2 == 1 {
			at = (at + step) % count
		}
		if got := pickIP(t, reader, key); got != 20+at {
			t.Errorf("%s: %d, wanted %d", key, got, 20+at)
		}
	}
}

func TestWhatAKeyedTableCannotSayIsAskedFor(t *testing.T) {
	ring := []uint64{kindRing | 1<<32, 5, wordOf(11, 80, 0)}
	for name, one := range map[string]struct {
		words []uint64
		flags uint64
		key   string
	}{
		"keys by the agent": {ring, keyedByAgent, "a"},
		"no text":           {ring, 0, "\xff"},
		"another kind":      {[]uint64{3 | 1<<32, 5}, 0, "a"},
		"beyond the file":   {[]uint64{kindRing | 1<<63, 5}, 0, "a"},
	} {
		file := threeNodes(t, 9)
		file.setKeyed(1, 1, one.words...)
		file.put64(file.slot(1, 1)+24, one.flags)
		if _, what := newReader(t, file.write().path).pick(1, 1, one.key); what != foundNothing {
			t.Errorf("%s: %v", name, what)
		}
	}
	file := newTableFile(t, tablePath(t), 9)
	file.setSchedule(1, 1, wordOf(5, 80, 1))
	file.setKeyed(1, 1, ring...)
	if ip := pickIP(t, newReader(t, file.write().path), "a"); ip != 5 {
		t.Errorf("a probe comes before the key: %d", ip)
	}
}

func TestAnOldTableIsTheBestMemoryOfNodes(t *testing.T) {
	agent := startAgent(t, [3]int{}, oneNode)
	file := newTableFile(t, tablePath(t), agent.ports[0])
	file.setSchedule(1, 1, wordOf(0, 0, 4), wordOf(1, 80, 0), wordOf(2, 80, 1), wordOf(3, 80, 0))
	client := newClient(t, Config{
		Ports: agent.ports, SharedTable: file.write().path, Deadline: 100 * time.Millisecond,
		FirstRoute: Never,
	})
	client.TryGetHost(background, 1, 1)
	agent.stop()
	file.retire()
	file.rewrite()
	until(t, "the first old node", func() bool { return client.TryGetHost(background, 1, 1).Host.Stale() })
	seen := map[uint32]bool{}
	for i := 0; i < 20; i++ {
		one := client.TryGetHost(background, 1, 1)
		if !one.Host.Stale() {
			t.Fatalf("%+v", one)
		}
		seen[ipNumber(one.Host.Addr().Addr())] = true
	}
	if len(seen) != 2 || !seen[1] || !seen[3] {
		t.Errorf("probes or refusals stand in: %v", seen)
	}
	if err := client.Report(1, 1, node(1).Addr(), 111, TimeUnknown); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 5; i++ {
		if host := client.TryGetHost(background, 1, 1).Host; ipNumber(host.Addr().Addr()) != 3 {
			t.Errorf("a node that failed stands in: %v", host)
		}
	}
	startAgent(t, agent.ports, oneNode)
	until(t, "the agent", func() bool {
		one := client.TryGetHost(background, 1, 1)
		return one.Host.Addr() == node(0x0a000001).Addr() && !one.Host.Stale()
	})
}

// records are those of every batch that came, in order.
func (a *fakeAgent) records(t *testing.T) []record {
	t.Helper()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	var all []record
	for _, one := range a.came {
		if one.id != idBatchedReport {
			continue
		}
		err := eachField(one.datagram[headBytes:], func(field wireField) error {
			if field.number != 3 {
				return nil
			}
			for at := field.bytes; len(at) > 0; at = at[recordBytes:] {
				all = append(all, record{
					module: moduleID{
						binary.LittleEndian.Uint32(at), binary.LittleEndian.Uint32(at[4:]),
					},
					node:    tableEntry(binary.LittleEndian.Uint64(at[8:])),
					retcode: int32(binary.LittleEndian.Uint32(at[16:])),
					timeMs:  binary.LittleEndian.Uint32(at[20:]),
				})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// outcomes are the records that are outcomes of calls.
func (a *fakeAgent) outcomes(t *testing.T) []record {
	t.Helper()
	var found []record
	for _, one := range a.records(t) {
		if one.node.port() != 0 {
			found = append(found, one)
		}
	}
	return found
}

func reportingClient(t *testing.T) (*fakeAgent, *Client) {
	agent := startAgent(t, [3]int{}, oneNode)
	file := threeNodes(t, agent.ports[0]).write()
	client := newClient(t, Config{Ports: agent.ports, SharedTable: file.path, Deadline: patient})
	if _, err := client.GetHost(background, 1, 1); err != nil {
		t.Fatal(err)
	}
	return agent, client
}

func report(t *testing.T, client *Client, ip uint32, retcode int32, ms int) {
	t.Helper()
	took := time.Duration(ms) * time.Millisecond
	if err := client.Report(1, 1, node(ip).Addr(), retcode, took); err != nil {
		t.Fatal(err)
	}
}

func TestOutcomesGoOutTogetherInOrderEachOnce(t *testing.T) {
	agent, client := reportingClient(t)
	for i := 0; i < 5*batchRecords; i++ {
		report(t, client, 1, 0, i)
	}
	if err := client.Report(1, 1, node(2).Addr(), 0, TimeUnknown); err != nil {
		t.Fatal(err)
	}
	client.Close()
	until(t, "all outcomes", func() bool { return len(agent.outcomes(t)) == 5*batchRecords+1 })
	all := agent.outcomes(t)
	for i, one := range all[:5*batchRecords] {
		if one.timeMs != uint32(i) || one.module != (moduleID{1, 1}) {
			t.Fatalf("%d: %+v", i, one)
		}
	}
	wanted := record{module: moduleID{1, 1}, node: 2 | 80<<32, timeMs: recordTimeUnknown}
	if all[5*batchRecords] != wanted {
		t.Errorf("%+v", all[5*batchRecords])
	}
	if count := agent.count(idBatchedReport); count > 5*batchRecords/4 || agent.count(idReportRequest) > 0 {
		t.Errorf("%d batches", count)
	}
}

func TestASingleOutcomeDoesNotWaitForOthers(t *testing.T) {
	agent, client := reportingClient(t)
	report(t, client, 1, 0, 1)
	until(t, "the outcome", func() bool { return len(agent.outcomes(t)) == 1 })
}

func TestTheFirstFailureOfANodeGoesOutAtOnce(t *testing.T) {
	agent, client := reportingClient(t)
	client.batch.mutex.Lock()
	client.batch.isTimed = true // no timer sends
	client.batch.mutex.Unlock()
	report(t, client, 1, 0, 1)
	report(t, client, 1, 111, 1)
	until(t, "the failure", func() bool { return len(agent.outcomes(t)) == 2 })
	report(t, client, 1, 111, 1)
	report(t, client, 1, 0, 1)
	report(t, client, 1, -5, 1)
	until(t, "the next first failure", func() bool { return len(agent.outcomes(t)) == 5 })
	if all := agent.outcomes(t); all[1].retcode != 111 || all[4].retcode != -5 {
		t.Errorf("%+v", all)
	}
	if count := agent.count(idBatchedReport); count > 3 {
		t.Errorf("%d batches: the second failure did not wait", count)
	}
}

// takingRuns is a batch whose agent takes runs, and that no timer sends.
func takingRuns(t *testing.T) (*fakeAgent, *batch) {
	agent := startAgent(t, [3]int{}, oneNode)
	b := newBatch(&counters{}, nil)
	b.open(&tableImage{ip: 0x7f000001, port: uint16(agent.ports[0]), takesRuns: true})
	b.isTimed = true
	t.Cleanup(b.close)
	return agent, b
}

func TestEqualOutcomesAreOneRecordWhereTheAgentTakesSuch(t *testing.T) {
	agent, b := takingRuns(t)
	success := func(modID, ip, ms uint32) {
		b.add(record{module: moduleID{modID, 1}, node: tableEntry(ip) | 80<<32, timeMs: ms})
	}
	failure := record{module: moduleID{1, 1}, node: 2 | 80<<32, retcode: 111, timeMs: 3}
	for _, ip := range []uint32{1, 2, 1, 1, 2, 1} {
		success(1, ip, 3)
	}
	success(1, 1, 4)
	success(2, 1, 3)
	b.add(record{module: moduleID{1, 1}})
	b.add(record{module: moduleID{1, 1}})
	b.add(failure)
	success(1, 1, 3)
	success(1, 1, 3)
	b.add(failure)
	success(1, 1, 3)
	b.close()
	until(t, "all records", func() bool { return len(agent.records(t)) == 10 })
	const run = runMark << 32
	wanted := []record{
		{moduleID{1, 1}, 1 | 80<<32 | run, 4, 3},
		{moduleID{1, 1}, 2 | 80<<32 | run, 2, 3},
		{moduleID{1, 1}, 1 | 80<<32, 0, 4},
		{moduleID{2, 1}, 1 | 80<<32, 0, 3},
		{module: moduleID{1, 1}},
		{module: moduleID{1, 1}},
		failure,
		{moduleID{1, 1}, 1 | 80<<32 | run, 2, 3},
		failure,
		{moduleID{1, 1}, 1 | 80<<32, 0, 3},
	}
	if all := agent.records(t); !reflect.DeepEqual(all, wanted) {
		t.Errorf("%+v", all)
	}
}

func TestABatchHasNoMoreOutcomesThanAnAgentTakes(t *testing.T) {
	agent, b := takingRuns(t)
	for i := 0; i < batchOutcomesMax+5; i++ {
		b.add(record{module: moduleID{1, 1}, node: 1 | 80<<32, timeMs: 3})
	}
	b.close()
	until(t, "all records", func() bool { return len(agent.records(t)) == 2 })
	if all := agent.records(t); all[0].retcode != batchOutcomesMax || all[1].retcode != 5 {
		t.Errorf("%+v", all)
	}
	if b.first != batchOutcomesMax+5 {
		t.Errorf("%d outcomes are counted", b.first)
	}
}

func TestEachBatchSaysHowManyCameBefore(t *testing.T) {
	agent, client := reportingClient(t)
	for i := 0; i < 3*batchRecords; i++ {
		report(t, client, 1, 0, i)
	}
	client.Close()
	until(t, "all outcomes", func() bool { return len(agent.outcomes(t)) == 3*batchRecords })
	agent.mutex.Lock()
	defer agent.mutex.Unlock()
	senders, total := map[uint64]bool{}, uint64(0)
	for _, one := range agent.came {
		if one.id != idBatchedReport {
			continue
		}
		var sender, first, count uint64
		_ = eachField(one.datagram[headBytes:], func(field wireField) error {
			switch field.number {
			case 1:
				sender = field.value
			case 2:
				first = field.value
			case 3:
				count = uint64(len(field.bytes) / recordBytes)
			}
			return nil
		})
		senders[sender] = true
		if first != total {
			t.Errorf("%d came before, it says %d", total, first)
		}
		total += count
	}
	if len(senders) != 1 || senders[0] {
		t.Errorf("%v", senders)
	}
}

func TestACallerThatOnlyPicksSaysSo(t *testing.T) {
	agent, client := reportingClient(t)
	for i := 0; i < 10; i++ {
		if _, err := client.GetHost(background, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the use", func() bool { return len(agent.records(t)) > 0 })
	wanted := record{module: moduleID{1, 1}, timeMs: recordTimeUnknown}
	if all := agent.records(t); len(all) != 1 || all[0] != wanted {
		t.Errorf("%+v", all)
	}
}
