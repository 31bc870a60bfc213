//go:build !offline

package main

import "mezhved/adapter/reports/workbook"

func init() { workbookOf = workbook.Write }
