// Test. The parts without I/O: bytes, options, memory of nodes, budget, kinds of failure, seals.

package lars

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// vector is a message and its bytes; its value is read for the messages of callers only.
type vector struct {
	Name    string
	Message string
	Value   json.RawMessage
	Hex     string
}

type vectorValue struct {
	ModID, CmdID, Seq uint32
	Retcode           int32
	Key, Token        string
	TimecostMs        *int64
	Explanation       string
	Host              *vectorHost
	Hosts             []vectorHost
}

func (v vector) value(t *testing.T) vectorValue {
	t.Helper()
	var value vectorValue
	switch v.Message {
	case "GetHostRequest", "GetRouteRequest", "ReportRequest", "GetHostResponse", "GetRouteResponse",
		"ExplainResponse":
		if err := json.Unmarshal(v.Value, &value); err != nil {
			t.Fatal(err)
		}
	}
	return value
}

type vectorHost struct {
	IP, Port uint32
	Weight   *int
	Zone     string
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("../../proto/golden_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	content, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestRequestsAreWrittenByteByByte(t *testing.T) {
	seen := map[string]int{}
	for _, one := range readVectors(t) {
		value := one.value(t)
		if value.Token != "" || value.Host != nil && (value.Host.Weight != nil || value.Host.Zone != "") {
			continue
		}
		module := moduleID{value.ModID, value.CmdID}
		var datagram []byte
		switch one.Message {
		case "GetHostRequest":
			datagram = getHostRequest(value.Seq, module, string(unhex(t, value.Key)))
		case "GetRouteRequest":
			datagram = getRouteRequest(module)
		case "ReportRequest":
			timeMs := int64(-1)
			if value.TimecostMs != nil {
				timeMs = *value.TimecostMs
			}
			datagram = reportRequest(module, value.Host.IP, uint16(value.Host.Port), value.Retcode, timeMs)
			if value.Host.Port > 65535 {
				continue
			}
		default:
			continue
		}
		seen[one.Message]++
		if got := hex.EncodeToString(datagram[headBytes:]); got != one.Hex {
			t.Errorf("%s: %s, wanted %s", one.Name, got, one.Hex)
		}
	}
	if seen["GetHostRequest"] < 2 || seen["GetRouteRequest"] < 2 || seen["ReportRequest"] < 2 {
		t.Errorf("too few vectors: %v", seen)
	}
}

func TestAnswersAreRead(t *testing.T) {
	seen := map[string]int{}
	for _, one := range readVectors(t) {
		id := map[string]int32{
			"GetHostResponse": idGetHostResponse, "GetRouteResponse": idGetRouteResponse,
			"ExplainResponse": idExplainResponse, "Hello": idHello,
		}[one.Message]
		if id == 0 {
			continue
		}
		seen[one.Message]++
		got, err := readAnswer(frame(id, append(newBody(), unhex(t, one.Hex)...)))
		value := one.value(t)
		if id == idGetHostResponse && value.Retcode == 0 && (value.Host == nil || !value.Host.isNode()) {
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("%s: %v", one.Name, err)
			}
			continue
		}
		if err != nil || got.text != value.Explanation || got.retcode != RetCode(value.Retcode) {
			t.Errorf("%s: %+v %v", one.Name, got, err)
		}
		if id == idGetHostResponse && value.Retcode == 0 && got.host != value.Host.host() {
			t.Errorf("%s: %+v", one.Name, got.host)
		}
		var hosts []Host
		for _, host := range value.Hosts {
			if host.isNode() {
				hosts = append(hosts, host.host())
			}
		}
		if fmt.Sprint(got.hosts) != fmt.Sprint(hosts) {
			t.Errorf("%s: %+v, wanted %+v", one.Name, got.hosts, hosts)
		}
	}
	if seen["GetHostResponse"] < 3 || seen["GetRouteResponse"] < 3 {
		t.Errorf("too few vectors: %v", seen)
	}
}

func (v vectorHost) isNode() bool { return v.Port >= 1 && v.Port <= 65535 }

func (v vectorHost) host() Host {
	weight := -1
	if v.Weight != nil {
		weight = *v.Weight
	}
	return newHost(v.IP, uint16(v.Port), weight, v.Zone)
}

func TestWhatBreaksTheRulesIsAProtocolError(t *testing.T) {
	deep := bytes.Repeat([]byte{0x3b}, 200)
	deep = append(deep, bytes.Repeat([]byte{0x3c}, 200)...)
	for name, body := range map[string][]byte{
		"varint of 11 bytes":      unhex(t, "088080808080808080808000"),
		"ends inside a varint":    unhex(t, "0880"),
		"length beyond the end":   unhex(t, "2a05aabb"),
		"length of over 31 bits":  unhex(t, "2affffffff0f"),
		"field number 0":          unhex(t, "0001"),
		"tag of over 32 bits":     unhex(t, "888080801000"),
		"wire type 6":             unhex(t, "0e"),
		"group without end":       unhex(t, "3b0801"),
		"group with another end":  unhex(t, "3b080144"),
		"end without a group":     unhex(t, "3c"),
		"groups 200 deep":         deep,
		"success without a node":  unhex(t, "080110011801"),
		"a zone that is no text":  unhex(t, "2a06080110508a0101ff"),
		"inner message that ends": unhex(t, "2a0108"),
	} {
		if _, err := readAnswer(frame(idGetHostResponse, append(newBody(), body...))); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := frame(idGetHostResponse, newBody())
	for _, datagram := range [][]byte{nil, make([]byte, 7), good[:7], append(good, 0), frame(9, newBody())} {
		if _, err := readAnswer(datagram); !errors.Is(err, ErrProtocol) {
			t.Errorf("%x: %v", datagram, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(int32(idGetHostResponse), []byte{8, 1, 16, 1, 24, 1, 42, 4, 8, 1, 16, 80})
	f.Add(int32(idGetRouteResponse), []byte{8, 1, 16, 1, 26, 4, 8, 1, 16, 80})
	f.Fuzz(func(t *testing.T, id int32, body []byte) {
		checkRandom(t, id, body)
	})
}

func checkRandom(t *testing.T, id int32, body []byte) bool {
	one, err := readAnswer(frame(id, append(newBody(), body...)))
	if err != nil && !errors.Is(err, ErrProtocol) {
		t.Fatalf("%x: %v", body, err)
	}
	if err == nil && id == idGetHostResponse && one.retcode == Success && one.host.Addr().Port() == 0 {
		t.Fatalf("%x: success without a node", body)
	}
	return err == nil
}

func TestRandomBytesEndInAnAnswerOrAProtocolError(t *testing.T) {
	chance := rand.New(rand.NewSource(7))
	good := unhex(t, "0801100118012a040801105020")
	read := 0
	for i := 0; i < 50_000; i++ {
		body := append([]byte(nil), good[:chance.Intn(len(good)+1)]...)
		for j := 0; j < chance.Intn(4) && len(body) > 0; j++ {
			body[chance.Intn(len(body))] = byte(chance.Intn(256))
		}
		if checkRandom(t, []int32{5, 8, 64, 77, 9}[chance.Intn(5)], body) {
			read++
		}
	}
	if read < 1000 {
		t.Errorf("only %d were read", read)
	}
}

func TestPortsOfModulesAreNeverNegative(t *testing.T) {
	for module, wanted := range map[moduleID]int{
		{1, 1}: 2, {0, 0}: 0, {0xffffffff, 0}: 2, {0x80000000, 0}: 1, {0xffffffff, 1}: 0,
		{0x7fffffff, 0x7fffffff}: 2,
	} {
		if got := portIndex(module.modID, module.cmdID); got != wanted {
			t.Errorf("%v: %d, wanted %d", module, got, wanted)
		}
	}
}

func node(ip uint32) Host { return newHost(ip, 80, -1, "") }

func TestANodeThatFailedIsPassedOverAndNotForgotten(t *testing.T) {
	memory := newLastGood(math.MaxInt64)
	module, start := moduleID{1, 1}, time.Now()
	memory.remember(module, node(1), start)
	memory.remember(module, node(2), start)
	memory.judge(module, node(1).Addr(), false, start)
	for i := 0; i < 3; i++ {
		if host, _ := memory.next(module, start.Add(999*time.Millisecond)); host != node(2) {
			t.Errorf("%v is given while it rests", host)
		}
	}
	seen := map[Host]bool{}
	for i := 0; i < 2; i++ {
		host, _ := memory.next(module, start.Add(time.Second))
		seen[host] = true
	}
	memory.judge(module, node(1).Addr(), false, start)
	memory.judge(module, node(2).Addr(), false, start)
	if _, ok := memory.next(module, start); !ok || len(seen) != 2 {
		t.Errorf("nodes are forgotten: %v", seen)
	}
}

func TestLastGoodIsBoundedAndGrowsOld(t *testing.T) {
	memory := newLastGood(time.Second)
	module, start := moduleID{1, 1}, time.Now()
	for i := uint32(0); i < lastGoodHostsMax+3; i++ {
		memory.remember(module, node(i), start)
	}
	seen := map[Host]bool{}
	for i := 0; i < 30; i++ {
		host, _ := memory.next(module, start)
		seen[host] = true
	}
	if len(seen) != lastGoodHostsMax || seen[node(0)] {
		t.Errorf("%d nodes: %v", len(seen), seen)
	}
	if _, ok := memory.next(module, start.Add(1001*time.Millisecond)); ok {
		t.Error("an old node is given")
	}
	for i := uint32(0); i < lastGoodModulesMax+5; i++ {
		memory.remember(moduleID{2, i}, node(1), start)
	}
	if len(memory.modules) != lastGoodModulesMax {
		t.Errorf("%d modules", len(memory.modules))
	}
	if _, ok := memory.next(moduleID{2, lastGoodModulesMax + 4}, start); !ok {
		t.Error("the youngest module is forgotten")
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	start := time.Now()
	module := moduleID{1, 1}
	budgets := newRetryBudgets(0.2, 0, start)
	if budgets.take(module, start) {
		t.Error("a retry without calls")
	}
	for i := 0; i < 10; i++ {
		budgets.addCall(module, start)
	}
	if !budgets.take(module, start) || !budgets.take(module, start) || budgets.take(module, start) {
		t.Error("ten calls allow two retries")
	}
	budgets.giveBack(module, start)
	if !budgets.take(module, start) {
		t.Error("what is given back is there")
	}
	budgets.addCall(moduleID{2, 2}, start)
	if budgets.take(moduleID{2, 2}, start.Add(11*time.Second)) {
		t.Error("calls are forgotten after ten seconds")
	}
	if !newRetryBudgets(0, 0.1, start).take(module, start) {
		t.Error("the floor allows one")
	}
}

func TestErrorsHaveTheCodeOfTheirKind(t *testing.T) {
	for _, one := range []struct {
		err  error
		code int32
	}{
		{nil, 0},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), 111},
		{os.NewSyscallError("read", syscall.ECONNRESET), 111},
		{io.EOF, 111},
		{context.DeadlineExceeded, 110},
		{os.ErrDeadlineExceeded, 110},
		{timeoutError("a", time.Second), 110},
		{fmt.Errorf("get: %w", CheckStatus(503)), 503},
		{errors.New("other"), 2},
		{context.Canceled, 2},
	} {
		if got := RetcodeOf(one.err); got != one.code {
			t.Errorf("%v: %d, wanted %d", one.err, got, one.code)
		}
	}
	for _, status := range []int{200, 304, 404} {
		if err := CheckStatus(status); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, status := range []int{408, 429, 500} {
		if err := CheckStatus(status); !errors.Is(err, ErrStatus) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestSealsAreThoseOfTheVectors(t *testing.T) {
	text, err := os.ReadFile("../../proto/seal_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		What, Secret, Sender, Message, Sealed, Answer string
		WallMs                                        int64
		Number                                        int
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, vector := range vectors {
		bytesOf := func(text string) []byte {
			content, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
		one := sealer{secret: bytesOf(vector.Secret)}
		copy(one.sender[:], bytesOf(vector.Sender))
		var sealed []byte
		for count := 0; count < vector.Number; count++ {
			sealed = one.seal(bytesOf(vector.Message), time.UnixMilli(vector.WallMs))
		}
		if hex.EncodeToString(sealed) != vector.Sealed {
			t.Errorf("%s: sealed is %x", vector.What, sealed)
		}
		if !one.isAnswer(bytesOf(vector.Answer)) || one.isAnswer(sealed) {
			t.Errorf("%s: the answer is one, and the question is none", vector.What)
		}
	}
}

func TestSeals(t *testing.T) {
	one := sealer{secret: []byte("secret"), sender: [8]byte{1, 2, 3}}
	datagram := getRouteRequest(moduleID{1, 1})
	first, second := one.seal(datagram, time.UnixMilli(5)), one.seal(datagram, time.UnixMilli(5))
	if bytes.Equal(first, second) || len(first) != len(datagram)+sealBytes {
		t.Error("each datagram has a seal of its own")
	}
	if !bytes.Equal(first[len(first)-16:], sealMac("lars question", first[:len(first)-16], one.secret)) {
		t.Error("it signs all before it")
	}
	answer := func(secret string, sender [8]byte) []byte {
		signed := append(frame(8, append(newBody(), 8, 1)), sealFieldHead...)
		signed = append(append(signed, sender[:]...), make([]byte, 12)...)
		return append(signed, sealMac("lars answer", signed, []byte(secret))...)
	}
	if !one.isAnswer(answer("secret", one.sender)) {
		t.Error("a good answer is refused")
	}
	if one.isAnswer(answer("other", one.sender)) || one.isAnswer(answer("secret", [8]byte{9})) ||
		one.isAnswer(datagram) || one.isAnswer(first) {
		t.Error("a bad answer is taken")
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, config := range []Config{
		{Hostname: "a:1"}, {Port: 65534}, {Port: -1}, {Ports: [3]int{1, 2}}, {Deadline: -2},
		{Deadline: time.Hour}, {FirstRoute: -2}, {FirstRoute: time.Hour}, {Token: []byte{}},
		{Token: make([]byte, 1025)}, {LastGood: -2}, {PendingMax: -1}, {PendingMax: 65537},
		{RetryShare: 1.1}, {RetryShare: math.NaN()}, {RetryFloorPerSecond: 1001},
	} {
		if _, err := New(config); !errors.Is(err, ErrRange) {
			t.Errorf("%+v: %v", config, err)
		}
	}
	client := newClient(t, Config{})
	for name, err := range map[string]error{
		"port 0": client.Report(1, 1, netip.AddrPortFrom(netip.IPv4Unspecified(), 0), 0, 0),
		"IPv6":   client.Report(1, 1, netip.MustParseAddrPort("[::1]:80"), 0, 0),
		"no key": second(client.GetHost(context.Background(), 1, 1, Key(""))),
		"retry":  client.Call(context.Background(), 1, 1, nil, Retries(11)),
	} {
		if !errors.Is(err, ErrRange) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ Host, err error) error { return err }
