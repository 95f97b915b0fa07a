{{/* The KafkaUser of a component: dict root, name. Setup and test share one. */}}
{{- define "postident-bridge.strimziUser" -}}
{{- printf "%s-%s" (include "postident-bridge.fullname" .root) (ternary "setup" .name (has .name (list "setup" "test"))) -}}
{{- end -}}

{{/* Whether there is a topic of results. */}}
{{- define "postident-bridge.results" -}}
{{- $yes := not (empty .Values.topics.resultRetention) -}}
{{- range .Values.accounts -}}{{- if eq (default "status" .payload) "result" -}}{{- $yes = true -}}{{- end -}}{{- end -}}
{{- ternary "yes" "" $yes -}}
{{- end -}}

{{/* One ACL: dict type, name, operations, and prefix (true for a prefixed pattern). */}}
{{- define "postident-bridge.acl" -}}
- resource:
    type: {{ .type }}
    {{- with .name }}
    name: {{ . | quote }}
    patternType: {{ ternary "prefix" "literal" (default false $.prefix) }}
    {{- end }}
  operations: [{{ join ", " .operations }}]
{{- end -}}

{{/*
The rights of a role, as docs/operations.md has them: dict root, role. Kafka takes Describe as a part of Read and Write.
*/}}
{{- define "postident-bridge.acls" -}}
{{- $prefix := .root.Values.config.topic.prefix -}}
{{- $acls := list -}}
{{- if eq .role "webhook" -}}
  {{- $acls = list (dict "type" "topic" "name" "inbox" "operations" (list "Write")) -}}
{{- else if eq .role "poll" -}}
  {{- $acls = list
        (dict "type" "topic" "name" "inbox" "operations" (list "Write"))
        (dict "type" "topic" "name" "poll-cursor" "operations" (list "Read" "Write"))
        (dict "type" "group" "name" "poll" "operations" (list "Read")) -}}
{{- else if eq .role "process" -}}
  {{- $acls = list
        (dict "type" "topic" "name" "inbox" "operations" (list "Read" "Write"))
        (dict "type" "topic" "name" "case-state" "operations" (list "Read" "Write"))
        (dict "type" "topic" "name" "status.v1" "operations" (list "Write"))
        (dict "type" "topic" "name" "dead-letter" "operations" (list "Write"))
        (dict "type" "group" "name" "process" "operations" (list "Read"))
        (dict "type" "transactionalId" "name" "process-" "operations" (list "Write") "prefix" true) -}}
  {{- if include "postident-bridge.results" .root -}}
    {{- $acls = append $acls (dict "type" "topic" "name" "result.v1" "operations" (list "Write")) -}}
  {{- end -}}
{{- else -}}
  {{- $operations := list "Describe" "DescribeConfigs" -}}
  {{- if and .root.Values.setup.enabled .root.Values.setup.topics -}}{{- $operations = append $operations "Create" -}}{{- end -}}
  {{- $acls = list (dict "type" "topic" "name" "" "operations" $operations "prefix" true) -}}
{{- end -}}
{{- range $acls }}
{{ include "postident-bridge.acl" (set . "name" (printf "%s%s" $prefix .name)) }}
{{- end }}
{{- end -}}
