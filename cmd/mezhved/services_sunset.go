package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/signing"
)

type servicesSunsetCmd struct {
	deskFlags
	Send bool   `help:"Send the broadcast notice, as the operator, when somebody still calls."`
	Key  string `placeholder:"FILE" type:"existingfile" help:"The operator's private key (PEM), or PKCS#12, for --send."`
	Cert string `placeholder:"FILE" type:"existingfile" help:"The operator's certificate."`
	Bus  string `placeholder:"FILE" type:"existingfile" help:"Certificate of the bus; default: of the configuration."`
}

func (servicesSunsetCmd) Help() string {
	return `Lists the retired versions that still take requests (sunset: in service.yaml), with their last day and with who has sent requests of
them within 30 days. --send tells it to everybody who subscribes to the broadcast bus-notice (testdata/services/bus-notice:
lay it into the services folder, with the operator among its callers); who calls whom is not in it. Run it once a week.

Exit code 1: somebody still calls a version that comes to its end.

Examples:
  mezhved services sunset --config mezhved.yaml
  mezhved services sunset --config mezhved.yaml --send --key OPERATOR/key.pem --cert OPERATOR/cert.pem`
}

// noticeSpace is the namespace of the broadcast bus-notice 1.0.0.
const noticeSpace = "urn://mezhved/notice/1.0.0"

// notice is its content.
type notice struct {
	XMLName  xml.Name        `xml:"urn://mezhved/notice/1.0.0 Notice"`
	Subject  string          `xml:"Subject"`
	Versions []noticeVersion `xml:"Version"`
}

type noticeVersion struct {
	Service   string `xml:"service,attr" json:"service"`
	Number    string `xml:"number,attr" json:"version"`
	Title     string `xml:"Title" json:"title"`
	LastDay   string `xml:"LastDay" json:"lastDay"`
	Successor string `xml:"Successor,omitempty" json:"successor,omitempty"`
	Requests  int64  `xml:"StillCalled" json:"requests"`

	Callers []console.StillCalled `xml:"-" json:"callers"`
}

func (c *servicesSunsetCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	var all struct{ Services []console.Service }
	if err := desk.get(ctx, "/api/v1/services", nil, &all); err != nil {
		return err
	}
	list := ending(all.Services)
	rows, called := [][]string{{"SERVICE", "VERSION", "LAST DAY", "SUCCESSOR", "CALLED WITHIN 30 DAYS BY"}}, false
	for _, v := range list {
		var by []string
		for _, who := range v.Callers {
			by = append(by, fmt.Sprintf("%s (%d)", who.Party, who.Requests))
		}
		called = called || len(by) > 0
		rows = append(rows, []string{v.Service, v.Number, v.LastDay, v.Successor, strings.Join(by, ", ")})
	}
	if c.JSON {
		err = printJSON(out.out, list)
	} else {
		err = table(out.out, rows)
	}
	if err != nil || !called {
		return err
	}
	if c.Send {
		receipt, err := c.tell(ctx, out, desk.base, list)
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintf(out.out, "told all subscribers of bus-notice: %s\n", receipt.MessageID)
		}
	}
	return no(errSaid)
}

// ending are the versions that come to their end, and the published one of the same
// service to go over to.
func ending(all []console.Service) []noticeVersion {
	list := []noticeVersion{}
	for _, s := range all {
		if s.LastDay == "" {
			continue
		}
		v := noticeVersion{Service: s.Name, Number: s.Version, Title: s.Title, LastDay: s.LastDay, Callers: s.StillCalled}
		if v.Title == "" {
			v.Title = s.Name
		}
		for _, who := range s.StillCalled {
			v.Requests += who.Requests
		}
		for _, other := range all {
			if other.Name == s.Name && other.Stage == string(registry.StagePublished) && registry.CompareVersions(other.Version, s.Version) > 0 &&
				(v.Successor == "" || registry.CompareVersions(other.Version, v.Successor) > 0) {
				v.Successor = other.Version
			}
		}
		list = append(list, v)
	}
	return list
}

// tell sends the notice of the versions that are still called.
func (c *servicesSunsetCmd) tell(ctx context.Context, out *stdio, base string, list []noticeVersion) (*party.Receipt, error) {
	keys := keyFlags{Key: c.Key, Cert: c.Cert}
	signer, err := keys.load(ctx)
	if err != nil {
		return nil, err
	}
	bus, err := c.busCertificate()
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(v noticeVersion) bool { return v.Requests == 0 })
	content, err := xml.Marshal(notice{Subject: "Версии видов сведений выводятся из эксплуатации", Versions: list})
	if err != nil {
		return nil, err
	}
	at, err := url.JoinPath(base, "smev", "v"+envelopes.V12.String(), "ws")
	if err != nil {
		return nil, usage(err)
	}
	client := &party.Client{URL: at, Version: envelopes.V12, Signer: signer, Bus: bus}
	receipt, err := client.SendRequest(ctx, party.Request{Content: content})
	var refused *party.FaultError
	if errors.As(err, &refused) && refused.Fault.Kind == envelopes.BusinessDataTypeIsNotSupported {
		return nil, no(fmt.Errorf("%w\nIs bus-notice 1.0.0 (root {%s}Notice) in the services folder, and published?", err, noticeSpace))
	}
	if err != nil {
		return nil, failed(out, c.JSON, err)
	}
	return receipt, nil
}

// busCertificate is the verifier of the bus's signature; nil: any valid certificate.
func (c *servicesSunsetCmd) busCertificate() (*signing.Verifier, error) {
	file := c.Bus
	if file == "" && c.Config != "" {
		config, err := adapter.LoadConfig(c.Config)
		if err != nil {
			return nil, usage(err)
		}
		file = config.Signature.Certificate
	}
	if file == "" {
		return nil, nil
	}
	v, err := busVerifier(filepath.Clean(file))
	if err != nil {
		return nil, usage(err)
	}
	return v, nil
}
