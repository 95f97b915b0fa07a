package main

import "github.com/spf13/cobra"

func (m *Main) demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "See the whole flow", Example: "  bridge demo", RunE: showHelp}
}
