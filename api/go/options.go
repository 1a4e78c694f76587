// Core. What a client and its calls can be told, and the checks of it.

package lars

import (
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// TokenBytesMax is the longest token, in bytes.
	TokenBytesMax = 1024
	// KeyBytesMax is the longest key of a pick, in bytes.
	KeyBytesMax = 256
	// DeadlineMax is the longest time of a question.
	DeadlineMax = time.Minute
	// RetriesMax is how often a call may be tried after its first try.
	RetriesMax = 10
	// CallTimeoutMax is the longest time of a call with all its tries.
	CallTimeoutMax = 24 * time.Hour

	defaultPort       = 8888
	defaultDeadline   = 50 * time.Millisecond
	defaultFirstRoute = time.Second
	defaultPendingMax = 1024
	defaultShare      = 0.2
	defaultFloor      = 1
)

// Never, for a duration whose zero value means the default, says none at all.
const Never = time.Duration(-1)

// None, for a number whose zero value means the default, says 0.
const None = -1

// Config says where the agent is and how patient to be. The zero value is an agent on this host.
type Config struct {
	// Hostname is the agent's address; it should run on this very host. Default 127.0.0.1.
	Hostname string
	// Port is the first of the agent's three UDP ports, 1 to 65533. Default 8888.
	Port int
	// Ports are all three of them, where they are not in a row.
	Ports [3]int
	// Deadline is the time a question may take, up to a minute. Default 50 ms.
	Deadline time.Duration
	// FirstRoute is how long GetHost and Call go on asking for a module that has no route yet, or
	// whose agent does not answer, up to a minute. It counts from the first pick of the module, and
	// never exceeds a Deadline that is given. Default one second; Never does not wait.
	FirstRoute time.Duration
	// Token is the shared secret, for an agent on another host that wants one; 1 to 1024 bytes.
	Token []byte
	// LastGood is for how long a node named earlier may stand in while the agent does not answer.
	// Default without limit; Never does not do that.
	LastGood time.Duration
	// PendingMax is how many questions may be under way at once, each with a socket of its own;
	// 1 to 65536. Default 1024.
	PendingMax int
	// RetryShare is how many retries each call with Retries allows, 0 to 1. Default 0.2; None is 0.
	RetryShare float64
	// RetryFloorPerSecond is how many are allowed whatever the number of calls, up to 1000. Default
	// 1; None is 0.
	RetryFloorPerSecond float64
	// DNS are servers, each host:port, at most 16, that are asked for nodes of a module while the agent
	// does not answer. In the original protocol: without a secret and TLS. Default none.
	DNS []string
	// SharedTable is the path of the agent's table in shared memory. Default that of the agent on this
	// host; NoTable for none.
	SharedTable string
}

// NoTable, as the path of a table, says that there is none.
const NoTable = "-"

// settings is a Config with its defaults, checked.
type settings struct {
	hostname      string
	ports         [portsPerAgent]int
	deadline      time.Duration
	namedDeadline bool
	firstRoute    time.Duration
	// token is what the program knows, secret what datagrams to the hostname are sealed with.
	token, secret []byte
	lastGood      time.Duration
	pendingMax    int
	share, floor  float64
	tablePath     string
	dns           []string
}

func checkConfig(config Config) (settings, error) {
	s := settings{
		hostname:      config.Hostname,
		ports:         config.Ports,
		deadline:      config.Deadline,
		namedDeadline: config.Deadline != 0,
		pendingMax:    config.PendingMax,
	}
	if s.hostname == "" || s.hostname == "localhost" {
		s.hostname = "127.0.0.1"
	}
	if strings.ContainsAny(s.hostname, " \t\r\n:") {
		return s, rangeError("Hostname must be a name or an IPv4 address: it is %q", s.hostname)
	}
	if err := s.checkPorts(config.Port); err != nil {
		return s, err
	}
	if err := s.checkTimes(config); err != nil {
		return s, err
	}
	if s.pendingMax == 0 {
		s.pendingMax = defaultPendingMax
	}
	if s.pendingMax < 1 || s.pendingMax > 65536 {
		return s, rangeError("PendingMax must be from 1 to 65536: it is %d", s.pendingMax)
	}
	if config.Token != nil && (len(config.Token) == 0 || len(config.Token) > TokenBytesMax) {
		return s, rangeError("Token must be 1 to %d bytes long: it has %d",
			TokenBytesMax, len(config.Token))
	}
	s.token = append([]byte(nil), config.Token...)
	// The agent of this very host wants no proof.
	if addr, err := netip.ParseAddr(s.hostname); err != nil || !addr.IsLoopback() {
		s.secret = s.token
	}
	if err := s.checkDNS(config.DNS); err != nil {
		return s, err
	}
	switch config.SharedTable {
	case "":
		s.tablePath = defaultTablePath(s.hostname, s.ports[0])
	case NoTable:
	default:
		s.tablePath = config.SharedTable
	}
	var err error
	if s.share, err = orDefault("RetryShare", config.RetryShare, defaultShare, 1); err != nil {
		return s, err
	}
	s.floor, err = orDefault("RetryFloorPerSecond", config.RetryFloorPerSecond, defaultFloor, 1000)
	return s, err
}

func (s *settings) checkPorts(first int) error {
	if s.ports == [portsPerAgent]int{} {
		if first == 0 {
			first = defaultPort
		}
		for index := range s.ports {
			s.ports[index] = first + index
		}
	}
	for _, port := range s.ports {
		if port < 1 || port > 65535 {
			return rangeError("Port must be from 1 to 65533, or Ports three of them: they are %v",
				s.ports)
		}
	}
	return nil
}

func (s *settings) checkDNS(servers []string) error {
	if len(servers) > dnsServersMax {
		return rangeError("DNS must be at most %d addresses: it has %d", dnsServersMax, len(servers))
	}
	for _, server := range servers {
		host, port, err := net.SplitHostPort(server)
		if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" ||
			portErr != nil || number == 0 {
			return rangeError("DNS must be addresses like 10.0.0.5:7778: one is %q", server)
		}
	}
	s.dns = append([]string(nil), servers...)
	return nil
}

func (s *settings) checkTimes(config Config) error {
	if s.deadline == 0 {
		s.deadline = defaultDeadline
	}
	if err := checkDeadline(s.deadline); err != nil {
		return err
	}
	switch config.FirstRoute {
	case 0:
		s.firstRoute = defaultFirstRoute
	case Never:
		s.firstRoute = 0
	default:
		s.firstRoute = config.FirstRoute
	}
	if err := checkFirstRoute(s.firstRoute); err != nil {
		return err
	}
	switch {
	case config.LastGood == 0:
		s.lastGood = math.MaxInt64
	case config.LastGood == Never:
		s.lastGood = 0
	case config.LastGood > 0:
		s.lastGood = config.LastGood
	default:
		return rangeError("LastGood must be more than 0, or Never: it is %v", config.LastGood)
	}
	return nil
}

func orDefault(name string, value, standard, most float64) (float64, error) {
	switch {
	case value == 0:
		return standard, nil
	case value == None:
		return 0, nil
	case value > 0 && value <= most:
		return value, nil
	}
	return 0, rangeError("%s must be more than 0 and at most %v, or None: it is %v",
		name, most, value)
}

func checkDeadline(value time.Duration) error {
	if value > 0 && value <= DeadlineMax {
		return nil
	}
	return rangeError("Deadline must be more than 0 and at most %v: it is %v", DeadlineMax, value)
}

func checkFirstRoute(value time.Duration) error {
	if value >= 0 && value <= DeadlineMax {
		return nil
	}
	return rangeError("FirstRoute must be from 0 to %v: it is %v", DeadlineMax, value)
}

// Option says how one question or call differs from what the client was told.
type Option func(*options)

type options struct {
	deadline      time.Duration
	namedDeadline bool
	firstRoute    time.Duration
	key           string
	retries       int
	timeout       time.Duration
	isRetryable   func(error, Host) bool
	retcodeOf     func(error, Host) int32
	err           error
}

func (c *Client) optionsOf(list []Option) (options, error) {
	all := options{
		deadline:      c.settings.deadline,
		namedDeadline: c.settings.namedDeadline,
		firstRoute:    c.settings.firstRoute,
	}
	for _, option := range list {
		option(&all)
	}
	return all, all.err
}

func (o *options) check(err error) {
	if o.err == nil {
		o.err = err
	}
}

// Deadline is the time the question may take; the wait for a first route then, too.
func Deadline(value time.Duration) Option {
	return func(o *options) {
		o.deadline, o.namedDeadline = value, true
		o.check(checkDeadline(value))
	}
}

// FirstRoute is how long GetHost and Call go on asking for the first route of a module; 0 does not.
func FirstRoute(value time.Duration) Option {
	return func(o *options) {
		o.firstRoute = value
		o.check(checkFirstRoute(value))
	}
}

// Key makes calls of one key stay on one node, where the policy of the module heeds keys (ring_hash,
// bounded_ring_hash, maglev); elsewhere it does nothing. 1 to 256 bytes.
func Key(key string) Option {
	return func(o *options) {
		o.key = key
		if len(key) < 1 || len(key) > KeyBytesMax {
			o.check(rangeError("Key must be 1 to %d bytes long: it has %d", KeyBytesMax, len(key)))
		}
	}
}

// Retries is how many further nodes Call tries after a failure, 0 to 10; never the node just tried,
// and never more than the budget of the client allows. For calls that may be made twice.
func Retries(count int) Option {
	return func(o *options) {
		o.retries = count
		if count < 0 || count > RetriesMax {
			o.check(rangeError("Retries must be from 0 to %d: they are %d", RetriesMax, count))
		}
	}
}

// Timeout is the time for the picks and all tries of a Call, up to a day. When it is over the context
// of the running try is done, its node is blamed, and Call ends with an ErrTimeout.
func Timeout(value time.Duration) Option {
	return func(o *options) {
		o.timeout = value
		if value <= 0 || value > CallTimeoutMax {
			o.check(rangeError("Timeout must be more than 0 and at most %v: it is %v",
				CallTimeoutMax, value))
		}
	}
}

// IsRetryable says whether another node may do better after an error. Always, when it is left out.
func IsRetryable(fn func(err error, host Host) bool) Option {
	return func(o *options) { o.isRetryable = fn }
}

// RetcodeFor gives the return code to report for an error, for what only the caller knows; 0 leaves it
// to RetcodeOf.
func RetcodeFor(fn func(err error, host Host) int32) Option {
	return func(o *options) { o.retcodeOf = fn }
}
