package adapter

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every setting that is a text names a file, and is then found beside the configuration
// and kept by a backup, or is known to name none. A new one has to be the one or the other.
func TestEverySettingThatNamesAFileIsNamed(t *testing.T) {
	others := []string{"node", "contour", "name", "listen", "url", "trustedProxies", "proxyHeader", "database.url", "kafka.brokers", "kafka.sasl", "kafka.user", "kafka.group", "kafka.prefix", "kafka.fills", "kafka.skip",
		"kafka.content", "journal.origin", "journal.timestamp.url", "journal.retention.ground", "retention.ground", "quality.faults", "quality.inTime", "trust.ocsp", "trust.algorithms", "ftp.listen",
		"ftp.public", "ftp.ports", "console.zone", "console.tokens.0.name", "console.tokens.0.role", "alarms.mail.server", "alarms.mail.tls", "alarms.mail.user", "alarms.mail.from",
		"backup.keys", "backup.s3.endpoint", "backup.s3.region", "probe.party", "protocols.operator", "protocols.signers"}
	var c Config
	texts := map[string]string{} // by setting: what is written there
	var fill func(v reflect.Value, path string)
	fill = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.String:
			v.SetString("text-" + path)
			texts[path] = v.String()
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("yaml") != "" {
					fill(v.Field(i), strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), "."))
				}
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			if v.Type().Elem().Kind() == reflect.String {
				v.Index(0).SetString("text-" + path)
				texts[path] = "text-" + path
			} else {
				fill(v.Index(0), path+".0")
			}
		}
	}
	fill(reflect.ValueOf(&c).Elem(), "")
	named := map[string]bool{}
	for _, n := range c.named() {
		named[*n.path] = true
		if setting := strings.TrimPrefix(*n.path, "text-"); n.setting != setting && n.setting != setting+".0" {
			t.Errorf("%s is named as %s", setting, n.setting)
		}
	}
	for setting, text := range texts {
		if named[text] == slices.Contains(others, setting) {
			t.Error(fmt.Sprintf("%s: names a file: %t; known to name none: %t", setting, named[text], !named[text]))
		}
	}
}
