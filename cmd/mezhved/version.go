package main

import "mezhved/cmd/internal/shell"

type versionCmd struct{ shell.VersionCommand }

func (versionCmd) Help() string {
	return "Examples:\n  mezhved version\n  mezhved version --json"
}

type completionCmd struct{ shell.CompletionCommand }

func (completionCmd) Help() string {
	return `The packages have it in place. Elsewhere, in this shell or in each:

Examples:
  mezhved completion bash > ~/.local/share/bash-completion/completions/mezhved
  mezhved completion zsh > /usr/local/share/zsh/site-functions/_mezhved
  mezhved completion fish > ~/.config/fish/completions/mezhved.fish`
}

type manualCmd struct{ shell.ManualCommand }

func (manualCmd) Help() string {
	return `The packages have them in place. They say what --help says.

Example:
  mezhved manual --out /usr/local/share/man/man1`
}
