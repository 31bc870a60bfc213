package adapter

// SettingsFile is a YAML file of settings of another room, read as services, parties
// and the configuration are: all mistakes at once, each with its place.
type SettingsFile struct{ f *yamlFile }

// ReadSettings reads a file into v, a pointer to a struct with yaml tags.
func ReadSettings(name string, v any) *SettingsFile { return &SettingsFile{readYAML(name, v)} }

// Broken says that the file is no YAML, and that nothing was read.
func (s *SettingsFile) Broken() bool { return s.f.broken }

// Errorf tells of a mistake at the value with a dotted path.
func (s *SettingsFile) Errorf(path, format string, args ...any) {
	s.f.find(false, path, format, args...)
}

// Warnf tells of what is allowed and looks wrong.
func (s *SettingsFile) Warnf(path, format string, args ...any) { s.f.find(true, path, format, args...) }

// Findings are all that was told.
func (s *SettingsFile) Findings() Findings { return s.f.findings }
