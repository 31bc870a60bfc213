package main

import (
	"context"
	"fmt"
	"time"

	"mezhved/adapter/console"
)

type queuesCmd struct{ deskFlags }

func (queuesCmd) Help() string {
	return `Shows every queue that is not empty: how many messages wait, how many are handed out and not acknowledged,
and when the oldest was accepted.

Examples:
  mezhved queues --config /etc/mezhved/mezhved.yaml
  mezhved queues --url https://gate.example:7500 --token-file duty.token --json`
}

func (c *queuesCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	var q console.Queues
	if err := desk.get(ctx, "/api/v1/queues", nil, &q); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, q)
	}
	if len(q.Queues) == 0 {
		fmt.Fprintln(out.out, "all queues are empty")
		return nil
	}
	rows := [][]string{{"SYSTEM", "QUEUE", "NODE", "WAITING", "LEASED", "OLDEST"}}
	for _, one := range q.Queues {
		rows = append(rows, []string{console.Visible(one.System), one.Kind, console.Visible(one.Node), fmt.Sprint(one.Waiting), fmt.Sprint(one.Leased), one.Oldest.Format(time.RFC3339)})
	}
	return table(out.out, rows)
}
