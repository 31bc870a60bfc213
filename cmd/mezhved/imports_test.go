package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// rooms says which rooms of the house each room may enter. A room may always
// enter its own internal packages and the rooms that it lists; what is not
// listed here as a key is listed nowhere.
var rooms = map[string][]string{
	"envelopes/xmltape": {},
	"envelopes":         {"envelopes/xmltape"},
	"signing/gost":      {},
	"signing":           {"signing/gost", "envelopes/xmltape"},
	"xsd":               {"envelopes/xmltape"},
	"adapter/journal":   {},
	// Who writes the log and who doubts it have the log's shapes in common, nothing
	// else; remote serves what anybody may read and is the auditor's network.
	"adapter/journal/clerk":       {"adapter/journal"},
	"adapter/journal/audit":       {"adapter/journal"},
	"adapter/journal/papers":      {"adapter/journal", "adapter/journal/audit", "envelopes", "envelopes/xmltape", "signing"},
	"adapter/journal/remote":      {"adapter/journal", "adapter/journal/audit", "signing"},
	"adapter/vault":               {"adapter/journal"},
	"adapter/backup":              {"adapter/journal"},
	"adapter/losses":              {"adapter/journal", "adapter/journal/audit", "adapter/journal/papers"},
	"adapter/reports":             {"adapter/journal", "adapter/terms"},
	"adapter/reports/paper":       {"adapter/reports"},
	"adapter/reports/workbook":    {"adapter/reports", "adapter/reports/paper"},
	"adapter/gather":              {},
	"adapter/lately":              {},
	"adapter/oplog":               {},
	"adapter/settings":            {},
	"adapter/tally":               {},
	"adapter/terms":               {},
	"adapter/contentpath":         {"envelopes/xmltape", "xsd"},
	"adapter/lifecycle/xpath":     {"envelopes/xmltape", "adapter/contentpath", "xsd"},
	"adapter/lifecycle/emulator":  {"envelopes", "xsd", "signing", "adapter/lifecycle/scenario", "adapter/party", "adapter/registry", "adapter/terms"},
	"adapter/lifecycle/sandbox":   {"adapter", "adapter/console", "adapter/lifecycle/scenario", "adapter/lifecycle/xpath", "adapter/registry", "envelopes", "envelopes/xmltape", "signing"},
	"adapter/lifecycle/parcel":    {"adapter/yamlfile", "envelopes/xmltape", "xsd"},
	"adapter/lifecycle/scenario":  {"envelopes", "envelopes/xmltape", "xsd", "adapter/lifecycle/xpath", "adapter/registry", "adapter/terms", "adapter/yamlfile"},
	"adapter/subject":             {"envelopes/xmltape", "adapter/contentpath", "adapter/journal"},
	"adapter/yamlfile":            {},
	"adapter/lifecycle/protocol":  {"signing"},
	"adapter/lifecycle/proving":   {"adapter/lifecycle/emulator", "adapter/lifecycle/protocol", "adapter/lifecycle/scenario", "adapter/party", "adapter/registry", "envelopes/xmltape", "signing", "xsd"},
	"adapter/lifecycle/reference": {"envelopes/xmltape"},
	"adapter/registry":            {"signing", "adapter/lifecycle/conform/paper", "adapter/lifecycle/protocol", "adapter/lifecycle/reference", "envelopes/xmltape", "xsd", "adapter/yamlfile", "adapter/contentpath", "adapter/journal", "adapter/reports", "adapter/settings", "adapter/subject", "adapter/terms"},
	"adapter":                     {"envelopes", "envelopes/xmltape", "signing", "xsd", "adapter/gather", "adapter/journal", "adapter/lately", "adapter/contentpath", "adapter/registry", "adapter/yamlfile", "adapter/settings", "adapter/subject", "adapter/tally", "adapter/terms", "adapter/reports"},
	"adapter/alarms":              {"adapter", "adapter/journal", "adapter/registry", "adapter/terms", "adapter/yamlfile"},
	"adapter/alarms/sink":         {},
	"cmd":                         {}, // cmd/internal: what the programs tell a machine of themselves
	"adapter/lifecycle/impact":    {"adapter", "adapter/registry", "envelopes/xmltape", "xsd"},
	"adapter/lifecycle/probe":     {"adapter", "adapter/journal", "adapter/party", "adapter/registry", "envelopes/xmltape", "signing", "xsd"},
	"adapter/files":               {"adapter", "signing/gost", "envelopes/xmltape"},
	// A router verifies nothing and keeps nothing: no key, no store and no log is within its reach.
	"adapter/router": {"adapter", "adapter/lately", "adapter/registry", "adapter/yamlfile", "envelopes", "envelopes/xmltape"},

	// The kit that tries buses and parties is an outsider: of ours it knows what is on
	// the wire.
	"adapter/lifecycle/conform":       {"adapter/lifecycle/conform/paper", "adapter/party", "envelopes", "envelopes/xmltape", "signing"},
	"adapter/lifecycle/conform/paper": {"signing"},
	"adapter/lifecycle/passport":      {"adapter", "adapter/lifecycle/protocol", "adapter/lifecycle/scenario", "adapter/registry", "adapter/reports", "adapter/terms", "envelopes", "envelopes/xmltape", "xsd"},
	"adapter/party":                   {"envelopes", "envelopes/xmltape", "signing", "signing/gost"},
}

// drivers are the modules that belong to certain rooms. The embedded room
// speaks to its own private server to see whether it is up and to make
// databases; every statement about messages is in adapter/postgres. The kafka
// room takes from franz-go the one request that kafka-go has in an old version
// only, metadata with topic ids. The room for tests does to a world's servers what
// an operator might, behind the gateway's back.
var drivers = map[string][]string{
	"github.com/jackc/pgx/v5":                    {"adapter/postgres", "adapter/embedded", "adapter/adaptertest"},
	"github.com/segmentio/kafka-go":              {"adapter/kafka", "adapter/adaptertest"},
	"github.com/twmb/franz-go":                   {"adapter/embedded", "adapter/kafka"},
	"github.com/go-chi/chi/v5":                   {"adapter", "adapter/console"},
	"github.com/fergusstrange/embedded-postgres": {"adapter/embedded"},
	"github.com/wneessen/go-mail":                {"adapter/alarms"},
	"github.com/jlaffaye/ftp":                    {"adapter/party", "adapter/adaptertest"},
	"filippo.io/age":                             {"adapter/backup"},
	"github.com/minio/minio-go/v7":               {"adapter/backup"},
	"github.com/xuri/excelize/v2":                {"adapter/reports/workbook"},
}

// TestImportArrows holds the arrows of the design: technology points inwards,
// the leaves do not know one another.
func TestImportArrows(t *testing.T) {
	for _, p := range listPackages(t) {
		room := strings.TrimPrefix(p.ImportPath, "mezhved/")
		owner := strings.Split(room, "/internal")[0]
		allowed, closed := rooms[owner]
		for _, imp := range p.Imports {
			if inner, ok := strings.CutPrefix(imp, "mezhved/"); ok && closed {
				if strings.Split(inner, "/internal")[0] == owner {
					continue
				}
				if !contains(allowed, inner) {
					t.Errorf("%s imports %s; it may enter only %v", room, inner, allowed)
				}
			}
			for module, homes := range drivers {
				if (imp == module || strings.HasPrefix(imp, module+"/")) && !contains(homes, owner) {
					t.Errorf("%s imports %s, which belongs to %v", room, imp, homes)
				}
			}
		}
	}
}

// TestAuditorImports: the offline verifier reaches no database, no bus and no key.
func TestAuditorImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "mezhved/cmd/mezhved-audit").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, bad := range []string{"github.com/jackc/", "github.com/segmentio/", "github.com/twmb/", "mezhved/adapter/postgres", "mezhved/adapter/kafka", "mezhved/adapter/journal/clerk", "mezhved/adapter/vault", "database/sql"} {
			if strings.HasPrefix(dep, bad) && dep != "database/sql/driver" { // interfaces, which google/uuid implements
				t.Errorf("mezhved-audit depends on %s", dep)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

type listed struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "mezhved/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 8 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}
