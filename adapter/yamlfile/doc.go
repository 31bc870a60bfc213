// Package yamlfile reads the files that operators write: the configuration, services,
// parties, rules of alarms. It is strict, since a setting that is misspelled is one that
// nobody has set: every mistake of a file is told at once, each with line and column and
// the names that are known there, in English and in Russian. What a value means is the
// business of the room whose file it is; it says what is wrong with it at its path.
//
// Sentences are literals in English with arguments, and each room adds the Russian forms
// of its own (Russian). It keeps no state but those.
package yamlfile
