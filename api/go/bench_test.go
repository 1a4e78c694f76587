// Test. What picks and outcomes cost: go test -bench .

package lars

import (
	"context"
	"testing"
	"time"
)

const benchModules = 1000

func benchClient(b *testing.B) *Client {
	b.Helper()
	file := newTableFile(b, tablePath(b), 9)
	for modID := uint32(1); modID <= benchModules; modID++ {
		entries := make([]uint64, 20)
		for at := range entries {
			entries[at] = wordOf(modID<<8|uint32(at), 80, 0)
		}
		file.setSchedule(modID, 1, entries...)
	}
	file.write()
	client, err := New(Config{SharedTable: file.path})
	if err != nil {
		b.Fatal(err)
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				file.rewriteBeat()
			}
		}
	}()
	b.Cleanup(func() { close(stop); client.Close() })
	return client
}

func BenchmarkPick(b *testing.B) {
	client := benchClient(b)
	ctx := context.Background()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := client.GetHost(ctx, uint32(i%benchModules)+1, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPickAndReport(b *testing.B) {
	client := benchClient(b)
	ctx := context.Background()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		modID := uint32(i%benchModules) + 1
		host, err := client.GetHost(ctx, modID, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := client.Report(modID, 1, host.Addr(), 0, time.Millisecond); err != nil {
			b.Fatal(err)
		}
	}
}
