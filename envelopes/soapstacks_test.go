package envelopes

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

var notAwaiting = "Сообщение " + someID + " не найдено среди неподтверждённых."

// bus is the least of a bus: it serves the documents, reads calls strictly and
// answers, so that a foreign SOAP stack has somebody to talk to.
func bus(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/smev/", func(w http.ResponseWriter, r *http.Request) {
		v, ok := VersionOf(strings.TrimPrefix(strings.Split(r.URL.Path, "/")[2], "v"))
		switch {
		case !ok:
			http.NotFound(w, r)
		case r.Method == http.MethodGet && r.URL.RawQuery == "wsdl":
			_, _ = w.Write(WSDL(v, "http://"+r.Host+r.URL.Path))
		case r.Method == http.MethodGet:
			doc, ok := Document(path.Base(r.URL.Path))
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(doc)
		default:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			e, err := Parse(r.Header.Get("Content-Type"), body, new(xmltape.Tape), Limits{})
			if err != nil {
				t.Errorf("a call of the foreign client: %v\n%s", err, body)
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			if err := e.Check(); err != nil {
				t.Errorf("a call of the foreign client: %v\n%s", err, body)
			}
			answers := someAnswers(t, v)
			w.Header().Set("Content-Type", TextXML)
			switch e.Operation() {
			case Ack:
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write((&Fault{Kind: TargetMessageIsNotFound, Code: "mezhved:501", Text: notAwaiting}).Build(v))
			case GetResponse:
				_, _ = w.Write(BuildEmpty(v, GetResponse).XML)
			default:
				_, _ = w.Write(answers[e.Operation().String()].Seal([]byte(signature)))
			}
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// TestForeignSOAPStacks lets clients that are not ours load the WSDL unmodified
// and call. It wants ZEEP_PYTHON, a Python interpreter with zeep
// (pip install zeep), and SOAP_NODE_PATH, a node_modules folder with the package
// soap (npm install soap); python3 and node on PATH are tried without them. With
// SOAP_MAVEN=1 Maven fetches Apache CXF, which makes Java classes of the WSDL.
func TestForeignSOAPStacks(t *testing.T) {
	stacks := map[string]func(t *testing.T, wsdl string, v Version) *exec.Cmd{
		"zeep": func(t *testing.T, wsdl string, v Version) *exec.Cmd {
			python := or(os.Getenv("ZEEP_PYTHON"), "python3")
			if err := exec.Command(python, "-c", "import zeep").Run(); err != nil {
				t.Skipf("%s cannot import zeep: pip install zeep, and set ZEEP_PYTHON to its interpreter", python)
			}
			return exec.Command(python, filepath.Join("testdata", "zeep_client.py"), wsdl, v.String())
		},
		"npm soap": func(t *testing.T, wsdl string, v Version) *exec.Cmd {
			c := exec.Command("node", "-e", "require('soap')")
			c.Env = append(os.Environ(), "NODE_PATH="+os.Getenv("SOAP_NODE_PATH"))
			if err := c.Run(); err != nil {
				t.Skip("node cannot load the package soap: npm install soap, and set SOAP_NODE_PATH to its node_modules")
			}
			c = exec.Command("node", filepath.Join("testdata", "soap_client.js"), wsdl, v.String())
			c.Env = append(os.Environ(), "NODE_PATH="+os.Getenv("SOAP_NODE_PATH"))
			return c
		},
		"cxf": func(t *testing.T, wsdl string, v Version) *exec.Cmd {
			if os.Getenv("SOAP_MAVEN") == "" {
				t.Skip("set SOAP_MAVEN=1 to let Maven fetch Apache CXF and make a Java client of the WSDL")
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "cxf"))); err != nil {
				t.Fatal(err)
			}
			c := exec.Command("mvn", "-q", "-B", "-Dwsdl="+wsdl, "-Dv="+v.String(), "compile", "exec:java", "-Dexec.mainClass=Main", "-Dexec.args="+wsdl)
			c.Dir = dir
			return c
		},
	}
	for name, command := range stacks {
		for _, v := range Versions {
			t.Run(name+"/"+v.String(), func(t *testing.T) {
				c := command(t, bus(t).URL+"/smev/v"+v.String()+"/ws?wsdl", v)
				c.WaitDelay = time.Minute
				var stderr strings.Builder
				c.Stderr = &stderr
				b, err := c.Output()
				if err != nil {
					t.Fatalf("%v\n%s\n%s", err, stderr.String(), b)
				}
				if i, j := bytes.IndexByte(b, '{'), bytes.LastIndexByte(b, '}'); i >= 0 && j > i {
					b = b[i : j+1] // Maven prints colours round it
				}
				var got struct {
					Operations                                                              []string
					Mnemonic, Status, ReplyTo, Content, Receipt, Fault, Detail, Description string
					Empty                                                                   bool
				}
				if err := json.Unmarshal(b, &got); err != nil {
					t.Fatalf("%v\n%s", err, b)
				}
				var operations []string
				for _, op := range Operations {
					if op.In(v) {
						operations = append(operations, op.String())
					}
				}
				slices.Sort(operations)
				if !slices.Equal(got.Operations, operations) {
					t.Errorf("operations %v, want %v", got.Operations, operations)
				}
				text := notAwaiting
				if got.Mnemonic != "MNSV05" || got.Status != string(v.Delivered()) || got.ReplyTo != someReply || !strings.Contains(got.Content, "Запрос") ||
					got.Receipt != someID || !got.Empty || got.Fault != text || !strings.HasSuffix(got.Detail, "TargetMessageIsNotFound") || got.Description != "SMEV-501:"+text {
					t.Errorf("the client read %s", b)
				}
			})
		}
	}
}
