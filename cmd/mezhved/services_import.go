package main

import (
	"errors"
	"fmt"
	"strings"

	"mezhved/adapter/lifecycle/parcel"
)

type servicesImportCmd struct {
	Packages []string `arg:"" placeholder:"PACKAGE" help:"Zips (XSDShemas_*.zip, SampleMessages_*.zip), folders of what they hold, or single files."`
	Services string   `placeholder:"DIR" default:"services" help:"Services folder."`
	As       string   `placeholder:"NAME/VERSION" help:"Name and version of the service; default: made of its namespace."`
	Provider string   `placeholder:"MNEMONIC" help:"Who answers; default: to be filled in."`
	Lang     string   `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

func (servicesImportCmd) Help() string {
	return `Makes a service's folder of the packages that offices exchange: schemas, service.yaml (a draft), samples without their
envelopes, scenarios that answer each sample request with its own answer. It says what it has understood and what is left to
do. Nothing that is there already is touched.

Examples:
  mezhved services import XSDShemas_4711.zip SampleMessages_4711.zip --services services --provider ROSREESTR
  mezhved services import unpacked --as egrn-extract/1.1.0 --lang ru
  mezhved services lint --services services`
}

func (c *servicesImportCmd) Run(out *stdio) error {
	name, version, both := strings.Cut(c.As, "/")
	if c.As != "" && !both {
		return usage(fmt.Errorf("--as %s: NAME/VERSION is expected, for instance egrn-extract/1.1.0", c.As))
	}
	r, err := parcel.Import(c.Packages, parcel.Options{Services: c.Services, Name: name, Version: version, Provider: c.Provider})
	if c.Lang == "ru" {
		for i := range r.Findings {
			r.Findings[i] = r.Findings[i].Russian()
		}
	}
	if c.JSON {
		if said := printJSON(out.out, r); said != nil {
			return said
		}
	} else {
		c.say(out, r)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, parcel.ErrThere):
		return no(err)
	}
	var russian interface{ Russian() string }
	if c.Lang == "ru" && errors.As(err, &russian) {
		err = errors.New(russian.Russian())
	}
	return usage(err)
}

func (c *servicesImportCmd) say(out *stdio, r *parcel.Report) {
	for _, f := range r.Findings {
		fmt.Fprintln(out.out, f)
	}
	if r.Name == "" {
		return
	}
	word := func(en, ru string) string {
		if c.Lang == "ru" {
			return ru
		}
		return en
	}
	rows := [][]string{
		{word("service", "вид сведений"), r.Name + " " + r.Version}, {word("title", "название"), r.Title}, {word("namespace", "пространство имён"), r.Namespace},
		{word("request", "запрос"), r.Request}, {word("response", "ответ"), r.Response},
	}
	for _, s := range r.Schemas {
		rows = append(rows, []string{word("schema", "схема"), s})
	}
	for _, s := range r.Samples {
		rows = append(rows, []string{word("sample", "образец"), s})
	}
	for _, s := range r.Scenarios {
		rows = append(rows, []string{word("scenario", "сценарий"), s})
	}
	try := "mezhved sandbox --services " + c.Services
	rows = append(rows, []string{word("folder", "папка"), r.Dir}, []string{word("next", "дальше"), word("a draft; try it: ", "это черновик; испытать его: ") + try})
	for _, row := range rows {
		fmt.Fprintf(out.out, "%-18s %s\n", row[0], row[1])
	}
}
