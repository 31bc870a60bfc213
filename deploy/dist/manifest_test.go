package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// TestCompose loads deploy/compose/compose.yaml as docker compose does (its own loader,
// with the schema of the specification), after ./keys has made what it names.
func TestCompose(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(dir, "compose/secrets"))
	keys := exec.Command(filepath.Join(dir, "compose/keys"))
	keys.Env = append(os.Environ(), "MEZHVED="+made(t, "mezhved_*_linux_amd64"))
	if out, err := keys.CombinedOutput(); err != nil {
		t.Fatalf("keys: %v\n%s", err, out)
	}
	before := output(t, "sh", "-c", "cd "+dir+"/compose/secrets && sha256sum *")
	again := exec.Command(filepath.Join(dir, "compose/keys"))
	again.Env = keys.Env
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("keys, again: %v\n%s", err, out)
	}
	if after := output(t, "sh", "-c", "cd "+dir+"/compose/secrets && sha256sum *"); after != before {
		t.Errorf("made again, the keys are others:\n%s\n%s", before, after)
	}

	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose/compose.yaml")}, cli.WithEnv([]string{"MEZHVED_VERSION=1.0.0"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "kafka-1", "kafka-2", "kafka-3", "gate-1", "gate-2", "prometheus", "grafana"} {
		if _, err := project.GetService(name); err != nil {
			t.Error(err)
		}
	}
	// What is mounted of ours is there.
	for _, service := range project.Services {
		for _, v := range service.Volumes {
			if v.Type == "bind" {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", service.Name, err)
				}
			}
		}
	}
	for _, s := range project.Secrets {
		if _, err := os.Stat(s.File); err != nil {
			t.Error(err)
		}
	}
	// The gateways understand their configuration, and find their keys.
	at := filepath.Join(dir, "etc")
	if err := os.CopyFS(at, os.DirFS(filepath.Join(dir, "compose/gateway"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(at, "secrets"), os.DirFS(filepath.Join(dir, "compose/secrets"))); err != nil {
		t.Fatal(err)
	}
	understood(t, filepath.Join(at, "mezhved.yaml"), "/var/lib/mezhved/")
	if promtool, err := exec.LookPath("promtool"); err == nil {
		// The alerts are where the file in the container names them.
		text, err := os.ReadFile("../compose/prometheus.yaml")
		if err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(dir, "prometheus.yml")
		if err := os.WriteFile(config, bytes.ReplaceAll(text, []byte("/etc/prometheus/alerts.yaml"), []byte(filepath.Join(dir, "alerts.yaml"))), 0o644); err != nil {
			t.Fatal(err)
		}
		output(t, promtool, "check", "config", config)
	}
}

// TestKubernetes holds the manifests against the schemas that Kubernetes publishes, and
// against each other: what one names, another has.
func TestKubernetes(t *testing.T) {
	schemas := filepath.Join(moduleDir(t, "sigs.k8s.io/kubectl-validate@v0.0.4"), "pkg/openapiclient/builtins/1.30")
	files, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	kinds := map[string]map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range strings.Split(string(text), "\n---\n") {
			var object map[string]any
			if err := yaml.UnmarshalStrict([]byte(doc), &object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			kind := object["kind"].(string)
			kinds[kind] = object
			if err := kubernetesSchema(t, schemas, object["apiVersion"].(string), kind).Validate(object); err != nil {
				t.Errorf("%s: %s: %v", file, kind, err)
			}
		}
	}
	// The schema of a mistake is not kind.
	wrong := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"nmae": "x"}}
	if err := kubernetesSchema(t, schemas, "v1", "ConfigMap").Validate(wrong); err == nil {
		t.Error("the schema takes a field that there is not")
	}
	for _, kind := range []string{"ConfigMap", "PersistentVolumeClaim", "ServiceAccount", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"} {
		if kinds[kind] == nil {
			t.Errorf("there is no %s", kind)
		}
	}
	set, _ := json.Marshal(kinds["StatefulSet"])
	for _, want := range []string{"startupProbe", "readinessProbe", "livenessProbe", "podAntiAffinity", `"secretName":"mezhved-secrets"`, `"readOnlyRootFilesystem":true`, `"runAsNonRoot":true`} {
		if !strings.Contains(string(set), want) {
			t.Errorf("the nodes have no %s", want)
		}
	}
	labels := at(kinds["StatefulSet"], "spec", "template", "metadata", "labels")
	for _, selector := range []any{at(kinds["StatefulSet"], "spec", "selector", "matchLabels"), at(kinds["PodDisruptionBudget"], "spec", "selector", "matchLabels"),
		at(kinds["Service"], "spec", "selector"), at(kinds["NetworkPolicy"], "spec", "podSelector", "matchLabels")} {
		if got, want := encoded(selector), encoded(labels); got != want {
			t.Errorf("a selector is %s, the nodes are %s", got, want)
		}
	}
	// Each mount has its volume.
	container := at(kinds["StatefulSet"], "spec", "template", "spec", "containers").([]any)[0].(map[string]any)
	volumes := encoded(at(kinds["StatefulSet"], "spec", "template", "spec", "volumes"))
	for _, m := range container["volumeMounts"].([]any) {
		if name := m.(map[string]any)["name"].(string); !strings.Contains(volumes, `"name":"`+name+`"`) {
			t.Errorf("the mount %s has no volume", name)
		}
	}
	// The configuration in it is one.
	dir := t.TempDir()
	name := filepath.Join(dir, "mezhved.yaml")
	if err := os.WriteFile(name, []byte(at(kinds["ConfigMap"], "data", "mezhved.yaml").(string)), fs.FileMode(0o644)); err != nil {
		t.Fatal(err)
	}
	understood(t, name, "/var/lib/mezhved/", "/etc/mezhved/secrets/")
}

// understood demands that the gateway takes a configuration, but for files that are not
// on this machine: those below the given folders.
func understood(t *testing.T, name string, elsewhere ...string) {
	t.Helper()
	said, _ := exec.Command(made(t, "mezhved_*_linux_amd64"), "config", "show", "--config", name).CombinedOutput()
	for line := range strings.Lines(string(said)) {
		missing := false
		for _, folder := range elsewhere {
			missing = missing || strings.Contains(line, ": stat "+folder) && strings.HasSuffix(line, ": no such file or directory\n")
		}
		if strings.Contains(line, name+":") && !strings.Contains(line, " # ") && !missing {
			t.Errorf("the configuration: %s", line)
		}
	}
}

func at(v any, path ...string) any {
	for _, step := range path {
		in, _ := v.(map[string]any)
		v = in[step]
	}
	return v
}

func encoded(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// kubernetesSchema makes a schema of one kind out of the description that an API server
// gives of itself (OpenAPI 3): what has properties has no others.
func kubernetesSchema(t *testing.T, dir, version, kind string) *jsonschema.Schema {
	t.Helper()
	file := filepath.Join(dir, "api", version+".json")
	if group, v, there := strings.Cut(version, "/"); there {
		file = filepath.Join(dir, "apis", group, v+".json")
	}
	described := decoded(t, file).(map[string]any)
	components := at(described, "components", "schemas").(map[string]any)
	found := ""
	for name, s := range components {
		closeObjects(s)
		if kinds, ok := s.(map[string]any)["x-kubernetes-group-version-kind"].([]any); ok && strings.HasSuffix(name, "."+kind) && len(kinds) > 0 {
			found = name
		}
	}
	if found == "" {
		t.Fatalf("%s has no %s", file, kind)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("file:///k8s.json", map[string]any{"components": map[string]any{"schemas": components}}); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("file:///k8s.json#/components/schemas/" + found)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, has := v["properties"].(map[string]any); has && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}
