package envelopes

import (
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

// However many Includes a body has and whatever stands round them, it is read in one pass: a
// stranger's would else take a processor for hours.
func TestManyIncludes(t *testing.T) {
	t.Parallel()
	const many = 200_000
	for name, inside := range map[string]string{
		"beside each other":          strings.Repeat(`<x:Include href="cid:b"/>`, many),
		"in elements of their own":   strings.Repeat(`<c><x:Include/></c>`, many),
		"in contents of attachments": strings.Repeat(`<b:Content><x:Include/></b:Content>`, many),
		"behind comments":            strings.Repeat(`<!---->`, many) + strings.Repeat(`<x:Include/>`, many),
		"in each other":              strings.Repeat(`<x:Include>`, 80) + strings.Repeat(`<x:Include/>`, many) + strings.Repeat(`</x:Include>`, 80),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := "--b\r\nContent-Type: text/xml\r\n\r\n" +
				`<s:Envelope xmlns:s="` + SOAPSpace + `" xmlns:x="` + XOPSpace + `" xmlns:b="` + V12.BasicSpace() + `"><s:Body><a>` + inside + "</a></s:Body></s:Envelope>" +
				"\r\n--b\r\nContent-ID: <b>\r\n\r\nx\r\n--b--\r\n"
			read := make(chan error, 1)
			go func() {
				_, err := Parse("multipart/related; boundary=b", []byte(body), new(xmltape.Tape), Limits{})
				read <- err
			}()
			select {
			case err := <-read:
				if err == nil || !strings.Contains(err.Error(), "is no operation") {
					t.Errorf("it is read as %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("it is still being read")
			}
		})
	}
}
