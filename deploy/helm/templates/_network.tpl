{{/* Ports of addresses (host:port, or URLs) as [n, …]; 443 or 80 where a URL names none. */}}
{{- define "postident-bridge.portsOf" -}}
{{- $ports := list -}}
{{- range . -}}
  {{- $port := regexFind ":[0-9]+(/|$)" . | trimPrefix ":" | trimSuffix "/" -}}
  {{- $ports = append $ports (int (default (ternary "80" "443" (hasPrefix "http://" .)) $port)) -}}
{{- end -}}
{{- dict "ports" (uniq $ports) | toYaml -}}
{{- end -}}

{{/* One rule for what goes out: dict to (peers), ports (numbers), protocols (TCP if none). */}}
{{- define "postident-bridge.egress" -}}
{{- if .ports }}
- ports:
    {{- range $port := .ports }}
    {{- range default (list "TCP") $.protocols }}
    - port: {{ int $port }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What a component may reach: dict root, needs (list of kafka, registry, api, objectStore, otlp). */}}
{{- define "postident-bridge.egressRules" -}}
{{- $v := .root.Values -}}
{{- $p := $v.networkPolicy -}}
{{- include "postident-bridge.egress" (dict "to" $p.dns.to "ports" (list $p.dns.port) "protocols" (list "UDP" "TCP")) }}
{{- $addresses := dict "kafka" $v.config.kafka.brokers "registry" $v.config.schema.registry.url "api" (list $v.config.scr.baseUrl) "objectStore" list "otlp" list -}}
{{- $endpoint := coalesce (get $v.otel "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") (get $v.otel "OTEL_EXPORTER_OTLP_ENDPOINT") -}}
{{- with $endpoint }}{{- $_ := set $addresses "otlp" (list .) -}}{{- end -}}
{{- range .needs -}}
  {{- $peer := get $p . -}}
  {{- $ports := $peer.ports -}}
  {{- if not $ports -}}{{- $ports = (include "postident-bridge.portsOf" (get $addresses .) | fromYaml).ports -}}{{- end -}}
  {{- if and (eq . "objectStore") (not (regexMatch "^(s3|azblob):" $v.config.records.url)) -}}{{- $ports = list -}}{{- end -}}
  {{- include "postident-bridge.egress" (dict "to" $peer.to "ports" $ports) }}
{{- end -}}
{{- with $p.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
