package router_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mezhved/adapter/router"
)

// Every mistake is named, with its place and what is expected.
func TestMistakesOfTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"installations: at least one is needed"}},
		{"a name that there is not", "installation: []\n", []string{":1:", "no such setting; installations is perhaps meant"}},
		{"an address", "listen: here\ninstallations:\n- {name: a, url: 'ftp://a', providers: [A]}\n", []string{":1:", "listen: an address such as", ":3:", "installations.0.url: an http or https address"}},
		{"a door", "installations:\n- {name: a, url: 'http://a:7500/smev/v1.2/ws', providers: [A]}\n", []string{":2:", "without /ws"}},
		{"names", "installations:\n- {name: 'a b', url: 'http://a', providers: [A]}\n- {name: c, url: 'http://c', providers: [C]}\n- {name: c, url: 'http://d', providers: [D]}\n", []string{":2:", "letters, digits", ":4:", "c is another installation's name already"}},
		{"a provider that lives in two", "installations:\n- name: a\n  url: http://a\n  providers: [A, B]\n- name: b\n  url: http://b\n  providers:\n  - C\n  - A\n", []string{":9:", "installations.1.providers.1: A lives in a already"}},
		{"nobody", "installations:\n- {name: a, url: 'http://a'}\n", []string{"the mnemonics of the providers that live in a are missing"}},
		{"broadcasts", "installations:\n- {name: a, url: 'http://a', providers: [A]}\nbroadcasts: b\n", []string{":3:", "there is no installation b"}},
		{"no address", "installations:\n- {name: a, providers: [A]}\n", []string{":2:", "installations.0.url: the address of the installation is missing"}},
		{"a port", "installations:\n- {name: a, url: 'http://a:75000', providers: [A]}\n", []string{":2:", "installations.0.url: an http or https address"}},
		{"an address that two have", "installations:\n- {name: a, url: 'http://a:7500', providers: [A]}\n- {name: b, url: 'http://a:7500/', providers: [B]}\n", []string{":3:", "http://a:7500/ is the address of a already"}},
		{"memory", "installations:\n- {name: a, url: 'http://a', providers: [A]}\nlimits: {body: 600MB}\n", []string{":3:", "limits.memory: 512MB are less than limits.body (600MB)"}},
		{"a header of proxies", "installations:\n- {name: a, url: 'http://a', providers: [A]}\nproxyHeader: X-Real-IP\n", []string{":3:", "proxyHeader: X-Forwarded-For, Forwarded or PROXY is expected"}},
		{"times", "installations:\n- {name: a, url: 'http://a', providers: [A]}\ntimes: {answer: 5s, turn: 6s}\n", []string{":3:", "longer than times.answer"}},
		{"files", "installations:\n- {name: a, url: 'http://a', providers: [A]}\ncas: none.pem\ntls: {certificate: none.pem, key: none.key}\n", []string{":3:", "cas: ", ":4:", "tls: "}},
		{"proxies", "installations:\n- {name: a, url: 'http://a', providers: [A]}\ntrustedProxies: [x]\n", []string{":3:", "trustedProxies: an address or a network"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "route.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := router.LoadConfig(file)
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said:\n%v", want, err)
				}
			}
		})
	}
}

// What deploy ships is understood, and shows every setting; what it shows as a default is
// one.
func TestTheConfigurationOfDeploy(t *testing.T) {
	const name = "../../deploy/route.yaml"
	c, err := router.LoadConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "route.yaml")
	all := regexp.MustCompile(`(?m)^# ( *\w+:(?: .*)?)$`).ReplaceAll(src, []byte("$1"))
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := router.LoadConfig(file)
	for _, line := range strings.Split(errText(err), "\n") {
		if line != "" && !strings.Contains(line, "no such file") {
			t.Errorf("with everything that it shows: %s", line)
		}
	}
	if shown.Limits != c.Limits || shown.Times != c.Times || shown.Listen != c.Listen || shown.Contour != c.Contour || shown.ProxyHeader != c.ProxyHeader {
		t.Errorf("it shows %+v %+v as defaults, which are %+v %+v", shown.Limits, shown.Times, c.Limits, c.Times)
	}
	for _, setting := range []string{"listen", "tls", "trustedProxies", "proxyHeader", "contour", "services", "parties", "installations", "broadcasts", "cas", "limits", "times"} {
		if !regexp.MustCompile(`(?m)^(# )?` + setting + `:`).Match(src) {
			t.Errorf("it does not show %s", setting)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
