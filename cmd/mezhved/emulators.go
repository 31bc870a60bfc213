package main

import (
	"net/http"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/emulator"
	"mezhved/adapter/registry"
)

// openEmulators makes the node play the parties that say emulator: true. Outside a
// sandbox they answer messages marked TestMessage alone: nobody is to take what is made
// up for an answer.
func (n *node) openEmulators(rooms *adapter.Rooms) {
	n.house = &emulator.House{
		Catalog: func() *registry.Catalog { return n.gateway.Catalog() }, Services: n.config.Services, Dir: n.config.Emulators,
		Doors: func() http.Handler { return n.gateway.Inside() }, TestOnly: n.sandbox == nil, Passed: n.sandbox != nil, Haste: rooms.Haste,
		Every: n.config.Times.Watch.D(), Now: n.clock.Now, Log: n.log,
	}
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "emulators", Run: n.house.Run})
}
