// Package kernel is what every simulated service stands on: one account in one region, its time, an agenda of what is to
// happen, and chance that comes from a seed. It knows no service and no protocol.
package kernel

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Kernel is the ground of one world. Whoever holds the world's lock may use it; it has none of its own.
type Kernel struct {
	Account, Region string
	Start           time.Time // when the world was handed over
	Now             time.Time // up to when everything due has happened

	seed   uint64
	agenda agenda
	ids    map[string]uint64 // how many ids of a kind were given out
}

// head is how long before its start a world is built, so that its services are steady by then.
const head = 24 * time.Hour

// New returns a kernel whose time stands a day before the world's start.
func New(account, region string, seed uint64, start time.Time) *Kernel {
	return &Kernel{Account: account, Region: region, Start: start, Now: start.Add(-head), seed: seed, ids: map[string]uint64{}}
}

// At puts something on the agenda for a time.
func (k *Kernel) At(t time.Time, do func()) { k.agenda.add(t, do) }

// After puts something on the agenda for d from now; a negative d is now.
func (k *Kernel) After(d time.Duration, do func()) { k.agenda.add(k.Now.Add(max(d, 0)), do) }

// RunUntil lets everything happen that is due by t. settle is called when everything of one time has happened.
func (k *Kernel) RunUntil(t time.Time, settle func()) {
	for e := k.agenda.next(t); e != nil; e = k.agenda.next(t) {
		if e.at.After(k.Now) {
			settle()
			k.Now = e.at
		}
		e.do()
	}
	settle()
	if t.After(k.Now) {
		k.Now = t
	}
}

// Random returns a source of its own for one thing, so that what happens to it does not hang on what else happens.
func (k *Kernel) Random(kind, id string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s", kind, id)
	return rand.New(rand.NewPCG(k.seed, h.Sum64()))
}

// Between returns a duration from lo up to hi, by the dice of one thing.
func (k *Kernel) Between(kind, id string, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(k.Random(kind, id).Int64N(int64(hi-lo))).Round(time.Millisecond)
}

// NewID returns 32 hexadecimal digits that no other thing of the kind has in this world.
func (k *Kernel) NewID(kind string) string {
	k.ids[kind]++
	r := k.Random(kind, fmt.Sprint(k.ids[kind]))
	return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
}

// Digits returns an id of n decimal digits, as deployments and service revisions have.
func (k *Kernel) Digits(kind string, n int) string {
	k.ids[kind]++
	r := k.Random(kind, fmt.Sprint(k.ids[kind]))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	if b[0] == '0' {
		b[0] = '1'
	}
	return string(b)
}

// ARN returns the ARN of something of this account and region.
func (k *Kernel) ARN(service, resource string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, k.Region, k.Account, resource)
}

// Duration is a time.Duration that JSON writes as "90s".
type Duration time.Duration

// MarshalText writes d as "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads "90s".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
