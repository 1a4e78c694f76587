// Core. The messages callers and agents exchange, as bytes; see proto/lars.proto of Lars.

package lars

import (
	"encoding/binary"
	"unicode/utf8"
)

// Ids of messages.
const (
	idGetHostRequest   = 4
	idGetHostResponse  = 5
	idReportRequest    = 6
	idGetRouteRequest  = 7
	idGetRouteResponse = 8
	idHello            = 64
	idExplainRequest   = 76
	idExplainResponse  = 77
)

const (
	helloProtocol = 2
	headBytes     = 8
	// groupDepthMax: groups inside groups beyond this are refused, as in other Protocol Buffers
	// programs.
	groupDepthMax = 100
)

// Wire types.
const (
	wireVarint = iota
	wireFixed64
	wireBytes
	wireGroup
	wireGroupEnd
	wireFixed32
)

func appendTag(out []byte, number, kind int) []byte {
	return binary.AppendUvarint(out, uint64(number<<3|kind))
}

// appendUint32 writes a varint field; 0 is not written.
func appendUint32(out []byte, number int, value uint32) []byte {
	if value == 0 {
		return out
	}
	return binary.AppendUvarint(appendTag(out, number, wireVarint), uint64(value))
}

// appendInt32 writes an int32 from an unsigned number; from 2^31 up it takes ten bytes.
func appendInt32(out []byte, number int, value uint32) []byte {
	if value == 0 {
		return out
	}
	return binary.AppendUvarint(appendTag(out, number, wireVarint), uint64(int64(int32(value))))
}

// appendBytes writes a field with a length, also when it is empty.
func appendBytes(out []byte, number int, content []byte) []byte {
	out = binary.AppendUvarint(appendTag(out, number, wireBytes), uint64(len(content)))
	return append(out, content...)
}

// frame puts the head before a body that begins at headBytes.
func frame(id int32, datagram []byte) []byte {
	binary.LittleEndian.PutUint32(datagram, uint32(id))
	binary.LittleEndian.PutUint32(datagram[4:], uint32(len(datagram)-headBytes))
	return datagram
}

func newBody() []byte { return make([]byte, headBytes, 64) }

// getHostRequest is message 4: which node next? An empty key is none.
func getHostRequest(seq uint32, module moduleID, key string) []byte {
	out := appendUint32(newBody(), 1, seq)
	out = appendInt32(out, 2, module.modID)
	out = appendInt32(out, 3, module.cmdID)
	if key != "" {
		out = appendBytes(out, 17, []byte(key))
	}
	return frame(idGetHostRequest, out)
}

// reportRequest is message 6: the outcome of one call. A negative time is not known.
func reportRequest(module moduleID, ip uint32, port uint16, retcode int32, timeMs int64) []byte {
	out := appendInt32(newBody(), 1, module.modID)
	out = appendInt32(out, 2, module.cmdID)
	var host [24]byte
	inner := appendInt32(host[:0], 1, ip)
	inner = appendInt32(inner, 2, uint32(port))
	out = appendBytes(out, 3, inner)
	out = appendInt32(out, 4, uint32(retcode))
	if timeMs >= 0 {
		out = binary.AppendUvarint(appendTag(out, 5, wireVarint), uint64(timeMs))
	}
	return frame(idReportRequest, out)
}

// getRouteRequest is message 7: every node of a module, please.
func getRouteRequest(module moduleID) []byte {
	out := appendInt32(newBody(), 1, module.modID)
	return frame(idGetRouteRequest, appendInt32(out, 2, module.cmdID))
}

// helloMessage is message 64: I speak the extensions.
func helloMessage(software, role string) []byte {
	out := appendUint32(newBody(), 1, helloProtocol)
	out = appendBytes(out, 2, []byte(software))
	return frame(idHello, appendBytes(out, 3, []byte(role)))
}

// explainRequest is message 76: why is which node picked? From node `from` on.
func explainRequest(seq uint32, module moduleID, from uint32) []byte {
	out := appendUint32(newBody(), 1, seq)
	out = appendInt32(out, 2, module.modID)
	out = appendInt32(out, 3, module.cmdID)
	return frame(idExplainRequest, appendUint32(out, 4, from))
}

// answer is what came from the agent, and what it is an answer to.
type answer struct {
	key     answerKey
	retcode RetCode
	host    Host
	hosts   []Host
	text    string
}

// answerKey is what an answer must have to be the one to a question. Answers without a number have
// 0 in its place.
type answerKey struct {
	id     int32
	seq    uint32
	module moduleID
}

// readAnswer reads a datagram of the agent. Every error is an ErrProtocol.
func readAnswer(datagram []byte) (answer, error) {
	if len(datagram) < headBytes {
		return answer{}, protocolError("datagram must have a head of %d bytes: it has %d",
			headBytes, len(datagram))
	}
	id := int32(binary.LittleEndian.Uint32(datagram))
	announced := int32(binary.LittleEndian.Uint32(datagram[4:]))
	body := datagram[headBytes:]
	if int(announced) != len(body) {
		return answer{}, protocolError("body must have the %d bytes its head says: it has %d",
			announced, len(body))
	}
	one := answer{key: answerKey{id: id}}
	var err error
	switch id {
	case idGetHostResponse:
		err = one.readHost(body)
	case idGetRouteResponse:
		err = one.readRoute(body)
	case idExplainResponse:
		err = one.readExplanation(body)
	case idHello:
		err = one.readHello(body)
	default:
		err = protocolError("message id must be one of an answer: it is %d", id)
	}
	return one, err
}

func (one *answer) readHost(body []byte) error {
	var host hostFields
	hasHost := false
	err := eachField(body, func(field wireField) error {
		switch {
		case field.kind == wireBytes && field.number == 5:
			hasHost = true
			return host.read(field.bytes)
		case field.kind != wireVarint:
		case field.number == 1:
			one.key.seq = uint32(field.value)
		case field.number == 2:
			one.key.module.modID = uint32(field.value)
		case field.number == 3:
			one.key.module.cmdID = uint32(field.value)
		case field.number == 4:
			one.retcode = RetCode(int32(field.value))
		}
		return nil
	})
	if err != nil || one.retcode != Success {
		return err
	}
	if !hasHost || !host.isNode() {
		return protocolError("GetHostResponse must name a node when its code is 0")
	}
	one.host = host.host()
	return nil
}

func (one *answer) readRoute(body []byte) error {
	var drained []Host
	err := eachField(body, func(field wireField) error {
		switch {
		case field.kind == wireVarint && field.number == 1:
			one.key.module.modID = uint32(field.value)
		case field.kind == wireVarint && field.number == 2:
			one.key.module.cmdID = uint32(field.value)
		case field.kind == wireBytes && (field.number == 3 || field.number == 19):
			var host hostFields
			if err := host.read(field.bytes); err != nil || !host.isNode() {
				return err
			}
			if field.number == 3 {
				one.hosts = append(one.hosts, host.host())
			} else {
				drained = append(drained, host.host())
			}
		case field.kind == wireBytes && (field.number == 17 || field.number == 21):
			return checkText(field.bytes)
		}
		return nil
	})
	one.hosts = append(one.hosts, drained...)
	return err
}

func (one *answer) readExplanation(body []byte) error {
	return eachField(body, func(field wireField) error {
		switch {
		case field.kind == wireBytes && field.number == 5:
			one.text = string(field.bytes)
			return checkText(field.bytes)
		case field.kind != wireVarint:
		case field.number == 1:
			one.key.seq = uint32(field.value)
		case field.number == 2:
			one.key.module.modID = uint32(field.value)
		case field.number == 3:
			one.key.module.cmdID = uint32(field.value)
		}
		return nil
	})
}

// readHello looks only whether it can be read: nothing in it matters to a caller.
func (one *answer) readHello(body []byte) error {
	return eachField(body, func(field wireField) error {
		switch field.number {
		case 2, 3, 5, 7, 8:
			if field.kind == wireBytes {
				return checkText(field.bytes)
			}
		}
		return nil
	})
}

// hostFields is a HostInfo as it is gathered: an inner message that comes twice is merged.
type hostFields struct {
	ip, port, weight uint32
	hasWeight        bool
	zone             string
}

func (h *hostFields) read(content []byte) error {
	return eachField(content, func(field wireField) error {
		switch {
		case field.kind == wireBytes && field.number == 17:
			h.zone = string(field.bytes)
			return checkText(field.bytes)
		case field.kind != wireVarint:
		case field.number == 1:
			h.ip = uint32(field.value)
		case field.number == 2:
			h.port = uint32(field.value)
		case field.number == 16:
			h.weight, h.hasWeight = uint32(field.value), true
		}
		return nil
	})
}

// isNode is false when its port cannot be one.
func (h *hostFields) isNode() bool { return h.port >= 1 && h.port <= 65535 }

func (h *hostFields) host() Host {
	weight := -1
	if h.hasWeight {
		weight = int(h.weight)
	}
	return newHost(h.ip, uint16(h.port), weight, h.zone)
}

func checkText(content []byte) error {
	if utf8.Valid(content) {
		return nil
	}
	return protocolError("text must be valid UTF-8")
}
