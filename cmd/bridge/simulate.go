package main

import "github.com/spf13/cobra"

func (m *Main) simulateCommand() *cobra.Command {
	return &cobra.Command{Use: "simulate", Short: "Simulate the SCR-Ident API", Example: "  bridge simulate", RunE: showHelp}
}
