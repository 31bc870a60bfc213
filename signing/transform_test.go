package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

type transformVector struct {
	Name     string
	Input    string
	Woodstox struct{ Output, Error string }
	JDK      struct{ Output, Error string } `json:"jdk_sjsxp"`
}

func transformVectors(t testing.TB) []transformVector {
	data, err := os.ReadFile(sharedFile(t, "vectors", "smev3-transform-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vs []transformVector
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// The reference vectors were made with the reference program over both writers.
func TestTransformVectors(t *testing.T) {
	vectors := transformVectors(t)
	if len(vectors) != 45 {
		t.Fatalf("%d vectors, want 45", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			tape := parse(t, v.Input)
			for _, want := range []struct {
				form   Form
				output string
				fails  bool
			}{{Woodstox, v.Woodstox.Output, v.Woodstox.Error != ""}, {JDK, v.JDK.Output, v.JDK.Error != ""}} {
				var got bytes.Buffer
				err := Transform(&got, tape.Root(), want.form)
				if want.fails {
					var e *Error
					if !errors.As(err, &e) || e.Code != Unsignable {
						t.Errorf("%s: got %v, %q; want an error Unsignable", want.form, err, got.String())
					}
					continue
				}
				if err != nil || got.String() != want.output {
					t.Errorf("%s:\ngot  %q, %v\nwant %q", want.form, got.String(), err, want.output)
				}
			}
		})
	}
}
