{{/*
Turns values into variables. A value's path is the variable's name: kafka.tls.serverName is BRIDGE_KAFKA_TLS_SERVER_NAME.

  text, number, switch, list    into the ConfigMap; not at all if empty
  {pem: …}                      into the ConfigMap
  {file: /path}                 the variable with _FILE behind it, into the ConfigMap
  {existingSecret: …, key: …}   a mounted file that is named by the variable with _FILE behind it, so that what changes in the
  {existingConfigMap: …, key: …}  Secret reaches the pod

dict: tree, path (its place in the values), prefix, acc, which is filled: config (map), files and wrong (lists).
*/}}
{{- define "postident-bridge.walk" -}}
{{- $acc := .acc -}}
{{- $prefix := .prefix -}}
{{- $at := .path -}}
{{- range $key, $value := .tree -}}
{{- $path := printf "%s.%s" $at $key -}}
{{- $var := printf "%s_%s" $prefix (regexReplaceAll "([a-z0-9])([A-Z])" $key "${1}_${2}" | upper) -}}
{{- if kindIs "map" $value -}}
  {{- $sources := pick $value "pem" "file" "existingSecret" "existingConfigMap" -}}
  {{- if or (gt (len $sources) 1) (and (kindIs "string" $value.key) (not (or $value.existingSecret $value.existingConfigMap))) -}}
    {{- $_ := set $acc "wrong" (append $acc.wrong (printf "%s: %s; it is one of pem, file, existingSecret and key, existingConfigMap and key" $path (keys $value | sortAlpha | join ", "))) -}}
  {{- else if $value.pem -}}
    {{- $_ := set $acc.config $var $value.pem -}}
  {{- else if $value.file -}}
    {{- $_ := set $acc.config (printf "%s_FILE" $var) $value.file -}}
  {{- else if or $value.existingSecret $value.existingConfigMap -}}
    {{- $kind := ternary "secret" "configMap" (not (empty $value.existingSecret)) -}}
    {{- $_ := set $acc "files" (append $acc.files (dict "var" $var "kind" $kind "name" (default $value.existingConfigMap $value.existingSecret) "key" $value.key)) -}}
  {{- else -}}
    {{- include "postident-bridge.walk" (dict "tree" $value "path" $path "prefix" $var "acc" $acc) -}}
  {{- end -}}
{{- else if kindIs "slice" $value -}}
  {{- if $value -}}{{- $_ := set $acc.config $var (join "," $value) -}}{{- end -}}
{{- else if not (kindIs "invalid" $value) -}}
  {{- if ne (toString $value) "" -}}{{- $_ := set $acc.config $var (toString $value) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An account as the walk takes it: its existingSecret becomes one reference for each password. */}}
{{- define "postident-bridge.account" -}}
{{- $tree := omit . "existingSecret" "secretKeys" -}}
{{- $keys := mergeOverwrite (dict "password" "password" "dataPassword" "data-password" "webhookPassword" "webhook-password") (default dict .secretKeys) -}}
{{- if .existingSecret -}}
{{- range $setting, $key := $keys -}}
  {{- if and $key (not (hasKey $tree $setting)) (or (ne $setting "webhookPassword") $tree.webhookUsername) -}}
    {{- $_ := set $tree $setting (dict "existingSecret" $.existingSecret "key" $key) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $tree -}}
{{- end -}}

{{/* Lays over upon base, both settings of kafka: what is no group of settings is taken as a whole, also where it is empty. */}}
{{- define "postident-bridge.lay" -}}
{{- range $key, $value := .over -}}
  {{- if has $key (list "tls" "sasl" "oauth") -}}
    {{- if not (get $.base $key) -}}{{- $_ := set $.base $key dict -}}{{- end -}}
    {{- include "postident-bridge.lay" (dict "base" (get $.base $key) "over" $value) -}}
  {{- else -}}
    {{- $_ := set $.base $key $value -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* What a component's kafka settings are: config.kafka, over it Strimzi's user, over it the component's own. */}}
{{- define "postident-bridge.kafka" -}}
{{- $root := .root -}}
{{- $kafka := deepCopy $root.Values.config.kafka -}}
{{- if $root.Values.strimzi.users.enabled -}}
{{- $user := include "postident-bridge.strimziUser" . -}}
{{- $s := $root.Values.strimzi -}}
{{- if $s.users.tls -}}
  {{- $_ := set $kafka.tls "enabled" true -}}
  {{- if not $kafka.tls.ca -}}
    {{- $_ := set $kafka.tls "ca" (dict "existingSecret" (printf "%s-cluster-ca-cert" $s.cluster) "key" "ca.crt") -}}
  {{- end -}}
{{- end -}}
{{- if eq $s.users.authentication "tls" -}}
  {{- $_ := set $kafka.tls "cert" (dict "existingSecret" $user "key" "user.crt") -}}
  {{- $_ := set $kafka.tls "key" (dict "existingSecret" $user "key" "user.key") -}}
{{- else -}}
  {{- $_ := set $kafka "sasl" (dict "mechanism" "SCRAM-SHA-512" "username" $user "password" (dict "existingSecret" $user "key" "password")) -}}
{{- end -}}
{{- end -}}
{{- include "postident-bridge.lay" (dict "base" $kafka "over" .override) -}}
{{- toYaml $kafka -}}
{{- end -}}

{{/*
What a component needs of the settings: {config: {variable: value}, files: […], wrong: [mistakes], if any}. Secrets go to the roles that need
them only, and user names with them: the bridge refuses one without the other.

dict: root; name, of the component; override, of config.kafka.
*/}}
{{- define "postident-bridge.settings" -}}
{{- $root := .root -}}
{{- $acc := dict "config" dict "files" list "wrong" list -}}
{{- $tree := deepCopy $root.Values.config -}}
{{- $_ := set $tree "kafka" (include "postident-bridge.kafka" . | fromYaml) -}}
{{- include "postident-bridge.walk" (dict "tree" $tree "path" "config" "prefix" "BRIDGE" "acc" $acc) -}}
{{- range $i, $account := $root.Values.accounts -}}
  {{- $tree := include "postident-bridge.account" $account | fromYaml -}}
  {{- include "postident-bridge.walk" (dict "tree" $tree "path" (printf "accounts[%d]" $i) "prefix" (printf "BRIDGE_ACCOUNT_%d" (add1 $i)) "acc" $acc) -}}
{{- end -}}
{{- $drop := list -}}
{{- if not (has .name (list "poll" "process" "all-in-one")) -}}
  {{- $drop = append $drop "^BRIDGE_ACCOUNT_[0-9]+_(USERNAME|PASSWORD|DATA_PASSWORD)(_FILE)?$" -}}
{{- end -}}
{{- if not (has .name (list "webhook" "all-in-one")) -}}
  {{- $drop = append $drop "^BRIDGE_ACCOUNT_[0-9]+_WEBHOOK_(USERNAME|PASSWORD)(_FILE)?$" -}}
{{- end -}}
{{- if has .name (list "webhook" "poll") -}}
  {{- $drop = append $drop "^BRIDGE_SCHEMA_REGISTRY_" -}}
{{- end -}}
{{- $dropped := join "|" $drop | default "^$" -}}
{{- $out := dict "config" dict "files" list -}}
{{- range $var, $value := $acc.config -}}
  {{- if not (regexMatch $dropped $var) -}}{{- $_ := set $out.config $var $value -}}{{- end -}}
{{- end -}}
{{- range $acc.files -}}
  {{- if not (regexMatch $dropped .var) -}}{{- $_ := set $out "files" (append $out.files .) -}}{{- end -}}
{{- end -}}
{{- range $var, $value := $root.Values.otel -}}{{- $_ := set $out.config $var (toString $value) -}}{{- end -}}
{{- with $acc.wrong -}}{{- $_ := set $out "wrong" . -}}{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* The environment of a container: dict root, settings, extraEnv (list). */}}
{{- define "postident-bridge.env" -}}
{{- range .settings.files }}
- name: {{ .var }}_FILE
  value: /run/bridge/{{ .var }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volume of mounted files: whole, never by subPath, so that what changes in a Secret reaches the pod. */}}
{{- define "postident-bridge.secretsVolume" -}}
name: secrets
projected:
  defaultMode: 0440
  sources:
    {{- range .files }}
    - {{ .kind }}:
        name: {{ toYaml .name }}
        items:
          - key: {{ toYaml .key }}
            path: {{ .var }}
    {{- end }}
{{- end -}}

{{/* A ConfigMap's data. */}}
{{- define "postident-bridge.configData" -}}
{{- range $var, $value := .config }}
{{ $var }}: {{ $value | quote }}
{{- end }}
{{- end -}}
