// Core. Seals of datagrams: proof of the secret, for an agent on another host that wants one.

package lars

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// A seal is the last field of a message, number 31: sender (8 bytes), milliseconds since 1970 (8),
// number of the datagram (4), and the first 16 bytes of an HMAC-SHA256 of everything before them.
const (
	sealSenderBytes = 8
	sealMacBytes    = 16
	sealBytes       = 3 + sealSenderBytes + 8 + 4 + sealMacBytes
)

var sealFieldHead = []byte{0xfa, 0x01, 0x24}

// sealer seals the datagrams of one socket, and knows the answers to them.
type sealer struct {
	secret []byte
	// sender has 8 random bytes, which no other sender has.
	sender [sealSenderBytes]byte
	number uint32
}

// newSealer is nil without a secret.
func newSealer(secret []byte) (*sealer, error) {
	if len(secret) == 0 {
		return nil, nil
	}
	one := &sealer{secret: secret}
	_, err := rand.Read(one.sender[:])
	return one, err
}

func sealMac(label string, content, secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(label))
	mac.Write(content)
	return mac.Sum(nil)[:sealMacBytes]
}

// seal gives the message with its seal; to be called for each datagram anew, also for a repeated one.
func (s *sealer) seal(datagram []byte, now time.Time) []byte {
	s.number++
	out := make([]byte, 0, len(datagram)+sealBytes)
	out = append(out, datagram...)
	out = append(out, sealFieldHead...)
	out = append(out, s.sender[:]...)
	out = binary.LittleEndian.AppendUint64(out, uint64(now.UnixMilli()))
	out = binary.LittleEndian.AppendUint32(out, s.number)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(datagram)+sealBytes-headBytes))
	return append(out, sealMac("lars question", out, s.secret)...)
}

// isAnswer is true when it is sealed by one who knows the secret, for a question of this sender.
func (s *sealer) isAnswer(datagram []byte) bool {
	at := len(datagram) - sealBytes
	if at < headBytes || !bytes.Equal(datagram[at:at+3], sealFieldHead) {
		return false
	}
	signed := datagram[:len(datagram)-sealMacBytes]
	mac := sealMac("lars answer", signed, s.secret)
	return bytes.Equal(datagram[at+3:at+3+sealSenderBytes], s.sender[:]) &&
		hmac.Equal(mac, datagram[len(datagram)-sealMacBytes:])
}
