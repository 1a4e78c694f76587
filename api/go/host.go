// Core. A node as callers see it, and the names of modules and nodes on the wire.

package lars

import "net/netip"

// RetCode is an answer of an agent to a caller, as in the original.
type RetCode int32

// Return codes of the original.
const (
	Success     RetCode = 0
	Overload    RetCode = 1
	SystemError RetCode = 2
	NoExist     RetCode = 3
)

// Host is a node of a module: a small value, which can be compared and copied.
type Host struct {
	// bits: the node as the table has it, then stale, and from weightShift on weight + 1, or 0.
	bits uint64
	zone string
}

const (
	staleBit    = 1 << 48
	weightShift = 49
	weightMax   = 10000
)

// newHost makes a node; a weight below 0 is not known.
func newHost(ip uint32, port uint16, weight int, zone string) Host {
	bits := uint64(ip) | uint64(port)<<32
	if weight > weightMax {
		weight = weightMax
	}
	if weight >= 0 {
		bits |= uint64(weight+1) << weightShift
	}
	return Host{bits: bits, zone: zone}
}

// Addr is the IPv4 address and port; its String is what net.Dial wants.
func (h Host) Addr() netip.AddrPort { return addrOf(uint32(h.bits), uint16(h.bits>>32)) }

// Weight is 0 to 10000; -1 when the agent does not say.
func (h Host) Weight() int { return int(h.bits>>weightShift) - 1 }

// Zone is empty when the node is in none.
func (h Host) Zone() string { return h.zone }

// Stale is true when the agent did not answer in time and this is a node it named earlier: it may be
// overloaded or gone by now.
func (h Host) Stale() bool { return h.bits&staleBit != 0 }

// String is address and port.
func (h Host) String() string { return h.Addr().String() }

func (h Host) asStale() Host {
	h.bits |= staleBit
	return h
}

// HostAnswer is what TryGetHost answers.
type HostAnswer struct {
	// RetCode is 0 when there is a host.
	RetCode RetCode
	// Host is set when RetCode is 0.
	Host Host
	// Err says why no answer of the agent was had; beside code 2, or beside a stale host.
	Err error
}

// portsPerAgent is how many UDP ports in a row an agent has; a module always uses the same one.
const portsPerAgent = 3

// portIndex says which of the agent's ports serves a module: by the signed numbers on the wire,
// never negative.
func portIndex(modID, cmdID uint32) int {
	rest := (int64(int32(modID)) + int64(int32(cmdID))) % portsPerAgent
	if rest < 0 {
		rest += portsPerAgent
	}
	return int(rest)
}

// addrOf makes the address of a node from what the wire says.
func addrOf(ip uint32, port uint16) netip.AddrPort {
	bytes := [4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}
	return netip.AddrPortFrom(netip.AddrFrom4(bytes), port)
}

// ipNumber is the address in host order: 192.168.1.177 is 3232235953.
func ipNumber(addr netip.Addr) uint32 {
	bytes := addr.As4()
	return uint32(bytes[0])<<24 | uint32(bytes[1])<<16 | uint32(bytes[2])<<8 | uint32(bytes[3])
}

type moduleID struct{ modID, cmdID uint32 }
