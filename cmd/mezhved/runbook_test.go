package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whoever is woken by an alert finds in both languages what to do, and no section is
// about an alert that there is not.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var alerts []string
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)`).FindAllSubmatch(rules, -1) {
		alerts = append(alerts, string(m[1]))
	}
	slices.Sort(alerts)
	for _, name := range []string{"../../docs/runbook.md", "../../docs/runbook.ru.md"} {
		book, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllSubmatch(book, -1) {
			told = append(told, strings.Split(string(m[1]), ", ")...)
		}
		slices.Sort(told)
		if !slices.Equal(alerts, told) {
			t.Errorf("%s is about\n%v, the alerts are\n%v", name, told, alerts)
		}
	}
}
