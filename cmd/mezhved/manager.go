package main

import (
	"log/slog"
	"net"
	"os"
)

// tellManager tells the service manager how the node stands, in systemd's words
// (sd_notify(3)). Without one, nobody is told.
func tellManager(log *slog.Logger, state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		c.Close()
	}
	if err != nil {
		log.Warn("the service manager was not told", "state", state, "error", err)
	}
}
