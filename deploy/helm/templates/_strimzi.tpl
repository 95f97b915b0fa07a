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
The rights for duties, as docs/operations.md has them under these names: dict root, duties (list). Each resource stands there
once. Kafka takes Describe as a part of Read and Write.
*/}}
{{- define "postident-bridge.acls" -}}
{{- $prefix := .root.Values.config.topic.prefix -}}
{{- $results := include "postident-bridge.results" .root -}}
{{- $read := list "Read" -}}
{{- $write := list "Write" -}}
{{- $both := list "Read" "Write" -}}
{{- $look := list "Describe" "DescribeConfigs" -}}
{{- $rights := dict
      "webhook" (list (list "topic" "inbox" $write))
      "poll" (list (list "topic" "inbox" $write) (list "topic" "poll-cursor" $both) (list "group" "poll" $read))
      "process" (concat
        (list (list "topic" "inbox" $both) (list "topic" "case-state" $both) (list "topic" "status.v1" $write))
        (list (list "topic" "dead-letter" $write) (list "group" "process" $read) (list "transactionalId" "process-" $write "prefix"))
        (ternary (list (list "topic" "result.v1" $write)) list (not (empty $results))))
      "apply" (list (list "topic" "" (append $look "Create") "prefix"))
      "check" (list (list "topic" "" $look "prefix"))
      "watch" (list (list "topic" "" $look "prefix") (list "cluster" "" (list "DescribeConfigs")))
      "backfill" (list (list "topic" "inbox" $write) (list "topic" "poll-cursor" $both) (list "group" "process" (list "Describe")))
      "retry" (list (list "topic" "case-state" $read) (list "topic" "inbox" $write))
      "dead-letter" (list (list "topic" "dead-letter" $read))
      "redrive" (list (list "topic" "dead-letter" $read) (list "topic" "inbox" $both) (list "topic" "case-state" $read))
      "records" (list (list "topic" "status.v1" $read) (list "topic" "result.v1" $read)) -}}
{{- $order := list -}}
{{- $acls := dict -}}
{{- range .duties -}}
{{- range get $rights . -}}
  {{- $type := index . 0 -}}
  {{- $key := join " " (list $type (index . 1)) -}}
  {{- if not (has $key $order) -}}
    {{- $order = append $order $key -}}
    {{- $name := ternary "" (printf "%s%s" $prefix (index . 1)) (eq $type "cluster") -}}
    {{- $_ := set $acls $key (dict "type" $type "name" $name "operations" list "prefix" (eq (len .) 4)) -}}
  {{- end -}}
  {{- $acl := get $acls $key -}}
  {{- $_ := set $acl "operations" (concat $acl.operations (index . 2) | uniq | sortAlpha) -}}
{{- end -}}
{{- end -}}
{{- range $order }}
{{ include "postident-bridge.acl" (get $acls .) }}
{{- end }}
{{- end -}}
