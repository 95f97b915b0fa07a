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

{{/*
What a component may reach, where its settings say that something is: dict root, settings, needs (list of kafka, oauth,
registry, api, objectStore, otlp).
*/}}
{{- define "postident-bridge.egressRules" -}}
{{- $p := .root.Values.networkPolicy -}}
{{- include "postident-bridge.egress" (dict "to" $p.dns.to "ports" (list $p.dns.port) "protocols" (list "UDP" "TCP")) }}
{{- $c := .settings.config -}}
{{- $store := default "" $c.BRIDGE_RECORDS_URL -}}
{{- $endpoint := regexFind "[?&]endpoint=[^&]+" $store | replace "%3A" ":" | replace "%2F" "/" | replace "%3a" ":" | replace "%2f" "/" -}}
{{- $addresses := dict
      "kafka" (splitList "," (default "" $c.BRIDGE_KAFKA_BROKERS))
      "oauth" (list $c.BRIDGE_KAFKA_SASL_OAUTH_TOKEN_URL)
      "registry" (splitList "," (default "" $c.BRIDGE_SCHEMA_REGISTRY_URL))
      "api" (list $c.BRIDGE_SCR_BASE_URL)
      "objectStore" (list (regexReplaceAll "^[?&]endpoint=" (default (regexFind "^(s3|azblob)://" $store) $endpoint) ""))
      "otlp" (list (coalesce $c.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT $c.OTEL_EXPORTER_OTLP_ENDPOINT)) -}}
{{- range .needs -}}
  {{- $peer := get $p . -}}
  {{- $ports := $peer.ports -}}
  {{- if not $ports -}}{{- $ports = (include "postident-bridge.portsOf" (get $addresses . | compact) | fromYaml).ports -}}{{- end -}}
  {{- include "postident-bridge.egress" (dict "to" $peer.to "ports" $ports) }}
{{- end -}}
{{- with $p.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
