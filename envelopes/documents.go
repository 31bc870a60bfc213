package envelopes

import (
	"bytes"
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed schemas
var schemaFiles embed.FS

// addressInFile is the soap:address in the embedded WSDL files.
func addressInFile(v Version) string { return "http://localhost:7500/smev/v" + v.String() + "/ws" }

// WSDL gives the service description of a version with the address under which
// the asking client reached the service. It imports its schemas by relative
// locations, so they must be served beside it (see Document).
func WSDL(v Version, address string) []byte {
	b, err := schemaFiles.ReadFile("schemas/" + v.String() + "/" + WSDLName(v))
	if err != nil {
		panic(err) // embedded: cannot be missing
	}
	w := newWriter(v, len(address))
	w.attr(address)
	return bytes.Replace(b, []byte(`location="`+addressInFile(v)+`"`), []byte(`location="`+string(w.b)+`"`), 1)
}

// WSDLName is the file name of a version's WSDL.
func WSDLName(v Version) string { return "smev-message-exchange-service-" + v.String() + ".wsdl" }

// Document gives a schema by its file name. Names are the same in every version
// only where the content is.
func Document(name string) ([]byte, bool) {
	if strings.ContainsAny(name, "/\\") || !strings.HasSuffix(name, ".xsd") {
		return nil, false
	}
	for _, v := range Versions {
		if b, err := schemaFiles.ReadFile("schemas/" + v.String() + "/" + name); err == nil {
			return b, true
		}
	}
	return nil, false
}

// Documents lists the file names of a version's WSDL and schemas.
func Documents(v Version) []string {
	entries, err := schemaFiles.ReadDir("schemas/" + v.String())
	if err != nil {
		panic(err) // embedded: cannot be missing
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}

// SchemaFS holds the WSDL and schemas of a version under their file names.
func SchemaFS(v Version) fs.FS {
	sub, err := fs.Sub(schemaFiles, "schemas/"+v.String())
	if err != nil {
		panic(err) // embedded: cannot be missing
	}
	return sub
}
