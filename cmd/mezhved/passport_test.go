package main

import (
	"os"
	"testing"

	"mezhved/adapter"
)

// A configuration says where its doors are, whether it has a url or not.
func TestWhereTheDoorsOfAConfigurationAre(t *testing.T) {
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	secure := adapter.TLSConfig{Certificate: "cert.pem", Key: "key.pem"}
	for want, c := range map[string]adapter.Config{
		"https://bus.example/gate":  {URL: "https://bus.example/gate", Listen: ":7500"},
		"http://127.0.0.1:7510":     {Listen: "127.0.0.1:7510"},
		"http://" + here + ":7500":  {Listen: ":7500"},
		"https://" + here + ":7500": {Listen: "0.0.0.0:7500", TLS: secure},
		"http://[2001:db8::1]:7500": {Listen: "[2001:db8::1]:7500"},
	} {
		if got := doorsOf(c); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
