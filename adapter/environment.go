package adapter

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"mezhved/adapter/yamlfile"
)

// fromEnvironment are the settings that the environment may give, over the file's: what
// differs from node to node and from site to site, addresses and the places of secrets,
// so that one file serves a container's image everywhere. The list is closed. Secrets
// themselves are never there: whoever sees a process sees its environment.
var fromEnvironment = []string{
	"node", "listen", "url", "services", "parties", "control",
	"tls.certificate", "tls.key", "tls.clientCAs",
	"database.url", "database.urlFile",
	"kafka.brokers", "kafka.cas", "kafka.certificate", "kafka.key", "kafka.user", "kafka.passwordFile", "kafka.sealKeys",
	"journal.key", "journal.state", "journal.vault", "journal.mldsa", "journal.policy", "journal.timestamp.url",
	"signature.key", "signature.certificate", "signature.passwordFile",
	"replyTo.keys",
	"files.dir", "ftp.listen", "ftp.public", "ftp.passwordFile", "ftp.certificate", "ftp.key",
	"alarms.rules", "alarms.mail.server", "alarms.mail.cas", "alarms.mail.user", "alarms.mail.passwordFile",
	"probe.key", "probe.certificate", "probe.passwordFile",
	"backup.to", "backup.keysTo", "backup.urlFile", "backup.s3.credentials", "backup.s3.cas",
}

// instead are settings that a place given by the environment stands in place of: the
// file's would contradict it.
var instead = map[string][]string{
	"database.url":     {"database.urlFile", "database.private"},
	"database.urlFile": {"database.url", "database.private"},
	"kafka.brokers":    {"kafka.private"},
}

// Variable is the name in the environment of a setting: MEZHVED_DATABASE_URL_FILE of
// database.urlFile. MEZHVED_URL is where a party at a terminal sends to, so the address
// of the gateway itself has another.
func Variable(setting string) string {
	if setting == "url" {
		return "MEZHVED_PUBLIC_URL"
	}
	var b strings.Builder
	b.WriteString("MEZHVED_")
	small := false // the letter before
	for _, r := range setting {
		switch {
		case r == '.':
			b.WriteByte('_')
		case unicode.IsUpper(r) && small:
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
		small = unicode.IsLower(r)
	}
	return b.String()
}

// Variables are the names that the environment may give, with the setting of each.
func Variables() map[string]string {
	all := map[string]string{}
	for _, setting := range fromEnvironment {
		all[Variable(setting)] = setting
	}
	return all
}

// overridden lays what the environment gives over what the file gave. What is given
// empty is not given. A name that is like one of the list and none of it is told of;
// others are of other programs.
func (c *Config) overridden(f *yamlfile.File, environment []string) {
	known := Variables()
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	given := map[string]string{}
	for _, line := range environment {
		name, value, _ := strings.Cut(line, "=")
		switch {
		case !strings.HasPrefix(name, "MEZHVED_"), value == "":
		case known[name] != "":
			given[name] = value
		default:
			if near := yamlfile.Nearest(strings.TrimPrefix(name, "MEZHVED_"), without(names, "MEZHVED_")); near != "" {
				f.Findings = append(f.Findings, yamlfile.NewFinding(name, "", "the environment gives no such setting; MEZHVED_%s is perhaps meant", near))
			}
		}
	}
	set := map[string]bool{}
	for name := range given {
		set[known[name]] = true
	}
	for _, name := range names {
		value, there := given[name]
		if !there {
			continue
		}
		setting := known[name]
		f.Override(setting, at(reflect.ValueOf(c).Elem(), setting), value, name)
		for _, other := range instead[setting] {
			if !set[other] {
				at(reflect.ValueOf(c).Elem(), other).SetZero()
			}
		}
	}
}

func without(names []string, prefix string) []string {
	out := make([]string, len(names))
	for i := range names {
		out[i] = strings.TrimPrefix(names[i], prefix)
	}
	return out
}

// at is the field of a struct by its dotted path of yaml names.
func at(v reflect.Value, path string) reflect.Value {
	for step := range strings.SplitSeq(path, ".") {
		found := reflect.Value{}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("yaml") == step {
				found = v.Field(i)
			}
		}
		if !found.IsValid() {
			panic("adapter: the configuration has no " + path)
		}
		v = found
	}
	return v
}
