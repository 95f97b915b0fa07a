package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (m *Main) aclsCommand() *cobra.Command {
	var (
		principal, prefix string
		names             []string
		results, asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "acls",
		Short: "Print the rights that a user of Kafka needs",
		Long: `Prints the least rights that a user of Kafka needs, as commands for kafka-acls.sh,
or with --json as the acls of a Strimzi KafkaUser. Connects to nothing.

What the user is there for says --roles: the roles of 'bridge run', and
  apply, check           bridge topics apply, check
  backfill               bridge backfill
  retry                  bridge retry list, now
  dead-letter, redrive   bridge dead-letter list and show, redrive
  records                bridge records
  watch                  beside a role: warn of settings that break a promise

The commands take the brokers from $KAFKA, and how an administrator logs in from
the file admin.properties.`,
		Example: `  bridge acls --principal User:bridge
  bridge acls --principal User:receiver --roles webhook
  bridge acls --principal User:operator --roles check,retry,redrive --prefix test.
  bridge acls --roles process,watch --results --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			chosen, err := chooseDuties(names)
			if err != nil {
				return err
			}
			if err := checkPrincipal(principal, asJSON); err != nil {
				return err
			}
			s, warnings, err := loadSettings(m.Environ)
			m.warn(warnings)
			if err != nil {
				return err
			}
			if prefix == "" {
				prefix = s.Topics.Prefix
			}
			acls := aclsOf(chosen, prefix, results || len(s.resultAccounts()) > 0)
			if asJSON {
				return printJSON(m.Stdout, acls)
			}
			for _, a := range acls {
				if _, err := fmt.Fprintln(m.Stdout, a.command(principal)); err != nil {
					return fmt.Errorf("print rights: %w", err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&principal, "principal", "", "the user, as Kafka names it, e.g. User:bridge")
	cmd.Flags().StringSliceVar(&names, "roles", allRoles, "what the user is there for")
	cmd.Flags().StringVar(&prefix, "prefix", "", "the prefix of topics, groups and transactional ids (default: BRIDGE_TOPIC_PREFIX)")
	cmd.Flags().BoolVar(&results, "results", false, "also result.v1 where no account publishes results")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

var principalPattern = regexp.MustCompile(`^[A-Za-z]+:.+$`)

// checkPrincipal refuses one without a type: Kafka's own tool refuses it only after
// the command was copied. JSON has none.
func checkPrincipal(principal string, asJSON bool) error {
	switch {
	case principal == "" && asJSON, principalPattern.MatchString(principal):
		return nil
	case principal == "":
		return &usageError{"--principal is needed, e.g. User:bridge"}
	case strings.Contains(principal, ":"):
		return &usageError{fmt.Sprintf("--principal: %q is not type and name, as in User:bridge", principal)}
	default:
		return &usageError{fmt.Sprintf("--principal: %q has no type; User:%s?", principal, principal)}
	}
}

// chooseDuties finds duties by their names.
func chooseDuties(names []string) ([]duty, error) {
	all := duties()
	known := make([]string, len(all))
	for i, d := range all {
		known[i] = d.name
	}
	var chosen []duty
	for _, name := range names {
		name = strings.TrimSpace(name)
		at := slices.Index(known, name)
		if at < 0 {
			return nil, &usageError{fmt.Sprintf("--roles: %q is none of %s", name, strings.Join(known, ", "))}
		}
		chosen = append(chosen, all[at])
	}
	if len(chosen) == 0 {
		return nil, &usageError{"--roles: none named"}
	}
	return chosen, nil
}
