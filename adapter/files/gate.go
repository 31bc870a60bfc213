package files

import (
	"sync"

	"mezhved/adapter"
)

// gate counts connections in, all of them and those from each address.
type gate struct {
	most, perAddress int

	mu        sync.Mutex
	open      int
	addresses map[string]int
}

func newGate(most, perAddress int) *gate {
	return &gate{most: most, perAddress: perAddress, addresses: map[string]int{}}
}

const gateFull = "too many connections, come again later"

// enter lets one more in, or says why not.
func (g *gate) enter(address string) string {
	address = adapter.Neighbourhood(address)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.open >= g.most:
		return gateFull
	case g.addresses[address] >= g.perAddress:
		return "too many connections from your address"
	}
	g.open++
	g.addresses[address]++
	return ""
}

func (g *gate) leave(address string) {
	address = adapter.Neighbourhood(address)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.addresses[address]--; g.addresses[address] <= 0 {
		delete(g.addresses, address)
	}
}
