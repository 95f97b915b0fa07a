{{/* A container that runs one command of the bridge and ends: dict root, settings, config, name, args. */}}
{{- define "postident-bridge.tool" -}}
- name: {{ .name }}
  {{- include "postident-bridge.containerBasics" . | nindent 2 }}
  args:
    {{- range .args }}
    - {{ . | quote }}
    {{- end }}
  envFrom:
    - configMapRef:
        name: {{ .config }}
    {{- with .root.Values.envFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "postident-bridge.env" (dict "root" .root "settings" .settings) | trim }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml .root.Values.setup.resources | nindent 4 }}
  volumeMounts:
    {{- include "postident-bridge.mounts" . | nindent 4 }}
{{- end -}}

{{/* The flags of `topics apply` and `topics check`. */}}
{{- define "postident-bridge.topicFlags" -}}
{{- $t := .Values.topics -}}
- --partitions={{ int $t.partitions }}
{{- if $t.statusPartitions }}
- --status-partitions={{ int $t.statusPartitions }}
{{- end }}
- --replication={{ int $t.replication }}
{{- with $t.statusRetention }}
- --status-retention={{ . }}
{{- end }}
{{- with $t.resultRetention }}
- --result-retention={{ . }}
{{- end }}
{{- end -}}
