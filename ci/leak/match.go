package leak

import (
	"bytes"
	"encoding/binary"
)

// matcher finds any of many texts in one pass. Of each text it watches the four bytes that are the least common; at every
// position of the data, a bit in a table small enough for a processor's nearest cache says whether one of them may begin
// there.
type matcher struct {
	may     [tableBits / 64]uint64
	needle  map[uint32][]needle
	longest int
}

type needle struct {
	text []byte
	at   int // of the watched bytes in the text
	id   int
}

const tableBits = 1 << 16

func bucket(four uint32) uint32 { return four * 2654435761 >> 16 }

func newMatcher() *matcher { return &matcher{needle: map[uint32][]needle{}} }

// add adds a text of at least four bytes.
func (m *matcher) add(text []byte, id int) {
	at, best := 0, -1
	for i := 0; i+4 <= len(text); i++ {
		if r := rarity(text[i : i+4]); r > best {
			at, best = i, r
		}
	}
	four := binary.LittleEndian.Uint32(text[at:])
	b := bucket(four)
	m.may[b/64] |= 1 << (b % 64)
	m.needle[four] = append(m.needle[four], needle{text, at, id})
	m.longest = max(m.longest, len(text))
}

// rarity is high for bytes that texts and programs seldom have side by side.
func rarity(text []byte) int {
	sum := 0
	for _, c := range text {
		switch {
		case c >= 'A' && c <= 'Z':
			sum += 4
		case c >= '0' && c <= '9':
			sum += 3
		case c >= 'a' && c <= 'z':
			sum++
		case c == '_' || c == ':' || c == '%':
			sum += 2
		}
	}
	return sum
}

// each calls fn with every place where a text begins, in the order of the watched bytes.
func (m *matcher) each(data []byte, fn func(id, at int)) {
	for i := 0; i+4 <= len(data); i++ {
		four := binary.LittleEndian.Uint32(data[i:])
		b := bucket(four)
		if m.may[b/64]&(1<<(b%64)) == 0 {
			continue
		}
		for _, n := range m.needle[four] {
			if start := i - n.at; start >= 0 && bytes.HasPrefix(data[start:], n.text) {
				fn(n.id, start)
			}
		}
	}
}
