package quota

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ConnectionRate is the name of the one bound of an IP address: how many connections it may make a second (KIP-612).
const ConnectionRate = "connection_creation_rate"

// ValidateAddress checks one bound of an IP address as it is to be set: a whole number.
//
// DEVIATION(KIP-612): Kafka answers a negative one with UNKNOWN_SERVER_ERROR, as nobody catches what its ConfigDef throws.
func ValidateAddress(key string, value float64) error {
	const epsilon = 1e-6
	switch whole := math.Floor(value + epsilon); {
	case key != ConnectionRate:
		return fmt.Errorf("invalid configuration key %s", key)
	case !(math.Abs(whole-value) <= epsilon) || whole > math.MaxInt32:
		return fmt.Errorf("configuration %s must be an INT value", key)
	case whole < 0:
		return fmt.Errorf("configuration %s must be at least 0", key)
	}
	return nil
}

// Addresses is how many connections a second the addresses may make. It does not change. The nil value bounds nobody.
//
// Source: IpConfigHandler, ConnectionQuotas#connectionRateForIp.
type Addresses struct {
	other int // who has no bound of its own
	of    map[string]int
}

// NewAddresses takes what is kept for all entities; those that are no addresses do not matter. What makes no sense bounds nobody, and err
// says what it is.
func NewAddresses(all map[Entity]map[string]string) (a *Addresses, err error) {
	a = &Addresses{other: math.MaxInt32, of: map[string]int{}}
	var bad []string
	for _, e := range slices.SortedFunc(maps.Keys(all), func(a, b Entity) int { return strings.Compare(a.IP, b.IP) }) {
		text, set := all[e][ConnectionRate]
		if e.IP == "" || !set {
			continue
		}
		rate, err := strconv.ParseInt(text, 10, 32)
		switch addr, wrong := netip.ParseAddr(e.IP); {
		case err != nil || rate < 0:
			bad = append(bad, fmt.Sprintf("%s=%s of %s", ConnectionRate, text, e.IP))
		case e.IP == Default:
			a.other = int(rate)
		case wrong != nil: // DEVIATION(KIP-612): Kafka looks up names of hosts, each time that their configuration changes.
			bad = append(bad, e.IP+" is not an address")
		default:
			a.of[addr.Unmap().String()] = int(rate)
		}
	}
	if len(bad) > 0 {
		err = fmt.Errorf("quotas of addresses are passed over: %s", strings.Join(bad, ", "))
	}
	return a, err
}

// Bound is how many connections a second an address may make; math.MaxInt32 is any number.
func (a *Addresses) Bound(address string) int {
	if a == nil {
		return math.MaxInt32
	}
	if rate, ok := a.of[address]; ok {
		return rate
	}
	return a.other
}
