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

{{/* The spec of the setup Job, whose containers end one after the other: dict root, settings, config. */}}
{{- define "postident-bridge.setupSpec" -}}
{{- $v := .root.Values -}}
{{- $tools := list -}}
{{- if $v.setup.topics -}}
  {{- $args := concat (list "topics" "apply") (include "postident-bridge.topicFlags" .root | fromYamlArray) -}}
  {{- $tools = append $tools (include "postident-bridge.tool" (mergeOverwrite (dict "name" "topics" "args" $args) .)) -}}
{{- end -}}
{{- if and $v.setup.schemas $v.config.schema.registry.url -}}
  {{- $tools = append $tools (include "postident-bridge.tool" (mergeOverwrite (dict "name" "schemas" "args" (list "schemas" "register")) .)) -}}
{{- end -}}
backoffLimit: {{ $v.setup.backoffLimit }}
activeDeadlineSeconds: {{ $v.setup.activeDeadlineSeconds }}
{{- if not $v.setup.hook }}
ttlSecondsAfterFinished: {{ $v.setup.ttlSecondsAfterFinished }}
{{- end }}
podFailurePolicy:
  rules:
    # A wrong setting stays wrong.
    - action: FailJob
      onExitCodes: {operator: In, values: [2]}
template:
  metadata:
    labels:
      {{- include "postident-bridge.labels" (dict "root" .root "component" "setup" "labels" $v.podLabels) | nindent 6 }}
    annotations:
      checksum/config: {{ toYaml .settings | sha256sum }}
      {{- with $v.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    restartPolicy: Never
    {{- include "postident-bridge.podBasics" (dict "root" .root "serviceAccountName" (include "postident-bridge.setupServiceAccountName" .root)) | trim | nindent 4 }}
    {{- with concat (ternary list (list (toYaml $v.initContainers)) (empty $v.initContainers)) (initial $tools) }}
    initContainers:
      {{- join "\n" . | nindent 6 }}
    {{- end }}
    containers:
      {{- last $tools | nindent 6 }}
    volumes:
      {{- include "postident-bridge.volumes" . | nindent 6 }}
{{- end -}}
