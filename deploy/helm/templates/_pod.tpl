{{/* What every pod has, whatever it is for: dict root, serviceAccountName, and values (of its component) if any. */}}
{{- define "postident-bridge.podBasics" -}}
{{- $v := .root.Values -}}
{{- $c := default dict .values -}}
{{- with $v.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ toYaml .serviceAccountName }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml $v.podSecurityContext | nindent 2 }}
{{- with default $v.nodeSelector $c.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $v.tolerations $c.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $v.affinity $c.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $v.priorityClassName $c.priorityClassName }}
priorityClassName: {{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What every container of the bridge has: dict root. */}}
{{- define "postident-bridge.containerBasics" -}}
image: {{ include "postident-bridge.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- end -}}

{{/* Mounts of every container of the bridge: dict root, settings. */}}
{{- define "postident-bridge.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .settings.files }}
- name: secrets
  mountPath: /run/bridge
  readOnly: true
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Volumes of every pod: dict root, settings. */}}
{{- define "postident-bridge.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- if .settings.files }}
- {{ include "postident-bridge.secretsVolume" .settings | nindent 2 | trim }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A probe: dict probe (values), path. A handler in the values stands for the chart's. */}}
{{- define "postident-bridge.probe" -}}
{{- if not (or .probe.httpGet .probe.tcpSocket .probe.exec .probe.grpc) }}
httpGet:
  path: {{ .path }}
  port: admin
{{- end }}
{{ toYaml .probe }}
{{- end -}}

{{/* The pod of a component: dict root, component, settings, config (the ConfigMap's name). */}}
{{- define "postident-bridge.pod" -}}
{{- $v := .root.Values -}}
{{- $c := .component -}}
metadata:
  labels:
    {{- include "postident-bridge.labels" (dict "root" .root "component" $c.name "labels" $v.podLabels) | nindent 4 }}
  annotations:
    # A change of settings is a new roll-out. What changes inside a Secret is not: the file changes in the pod.
    checksum/config: {{ toYaml .settings | sha256sum }}
    {{- with mergeOverwrite (deepCopy $v.podAnnotations) (deepCopy $c.values.podAnnotations) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "postident-bridge.podBasics" (dict "root" .root "serviceAccountName" (include "postident-bridge.serviceAccountName" .root) "values" $c.values) | trim | nindent 2 }}
  {{- with $v.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      {{- if not .labelSelector }}
      labelSelector:
        matchLabels:
          {{- include "postident-bridge.selector" $.root | nindent 10 }}
          app.kubernetes.io/component: {{ $c.name }}
      {{- end }}
    {{- end }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "postident-bridge.terminationGracePeriodSeconds" .root }}
  {{- with $v.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: bridge
      {{- include "postident-bridge.containerBasics" . | nindent 6 }}
      args:
        - run
        - --roles
        - {{ $c.roles }}
        {{- with $v.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      envFrom:
        - configMapRef:
            name: {{ .config }}
        {{- with concat $v.envFrom $c.values.envFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- $env := include "postident-bridge.env" (dict "root" .root "settings" .settings "extraEnv" $c.values.extraEnv) }}
      {{- if or (trim $env) $c.values.stableIdentity }}
      env:
        {{- if $c.values.stableIdentity }}
        - name: BRIDGE_KAFKA_GROUP_INSTANCE_ID
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        {{- with trim $env }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        {{- if $c.takesWebhooks }}
        - name: webhook
          containerPort: {{ include "postident-bridge.port" $v.config.webhook.addr }}
          protocol: TCP
        {{- end }}
        - name: admin
          containerPort: {{ include "postident-bridge.port" $v.config.admin.addr }}
          protocol: TCP
      {{- with $v.startupProbe }}
      startupProbe:
        {{- include "postident-bridge.probe" (dict "probe" . "path" "/livez") | trim | nindent 8 }}
      {{- end }}
      {{- with $v.livenessProbe }}
      livenessProbe:
        {{- include "postident-bridge.probe" (dict "probe" . "path" "/livez") | trim | nindent 8 }}
      {{- end }}
      {{- with $v.readinessProbe }}
      readinessProbe:
        {{- include "postident-bridge.probe" (dict "probe" . "path" (printf "/readyz?role=%s" $c.probe)) | trim | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml $c.values.resources | nindent 8 }}
      volumeMounts:
        {{- include "postident-bridge.mounts" . | nindent 8 }}
    {{- with $v.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "postident-bridge.volumes" . | nindent 4 }}
{{- end -}}
