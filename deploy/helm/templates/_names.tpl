{{/* The chart's name. */}}
{{- define "postident-bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
What every object's name begins with. 41 characters leave room for "-all-in-one", and for what Kubernetes puts behind the name
of a StatefulSet into a label of 63.
*/}}
{{- define "postident-bridge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 41 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "postident-bridge.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 41 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 41 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects all pods of the release. */}}
{{- define "postident-bridge.selector" -}}
{{- dict "app.kubernetes.io/name" (include "postident-bridge.name" .) "app.kubernetes.io/instance" .Release.Name | toYaml -}}
{{- end -}}

{{/* Labels of an object: dict root, and component, labels (dict) if any. */}}
{{- define "postident-bridge.labels" -}}
{{- $labels := include "postident-bridge.selector" .root | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- with .component -}}{{- $_ := set $labels "app.kubernetes.io/component" . -}}{{- end -}}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "postident-bridge" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- mergeOverwrite $labels (deepCopy .root.Values.commonLabels) (deepCopy (default dict .labels)) | toYaml -}}
{{- end -}}

{{/* metadata of an object: dict root, name, and component, annotations (dict), labels (dict) if any. */}}
{{- define "postident-bridge.metadata" -}}
name: {{ toYaml .name }}
labels:
  {{- include "postident-bridge.labels" . | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The annotations of a hook that comes before everything else: root, and the weight. */}}
{{- define "postident-bridge.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "postident-bridge.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "postident-bridge.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The ServiceAccount of the setup Job: as a hook it is there before the release's own. */}}
{{- define "postident-bridge.setupServiceAccountName" -}}
{{- if and .Values.serviceAccount.create .Values.setup.hook -}}
{{- printf "%s-setup" (include "postident-bridge.fullname" .) -}}
{{- else -}}
{{- include "postident-bridge.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{- define "postident-bridge.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The components that run, as {components: [{name, roles, probe, values, takesWebhooks}]}. */}}
{{- define "postident-bridge.components" -}}
{{- $v := .Values -}}
{{- if eq $v.mode "all-in-one" -}}
{{- dict "components" (list (dict "name" "all-in-one" "roles" "webhook,poll,process" "probe" "webhook" "values" $v.allInOne "takesWebhooks" true)) | toYaml -}}
{{- else -}}
{{- dict "components" (list
      (dict "name" "webhook" "roles" "webhook" "probe" "webhook" "values" $v.webhook "takesWebhooks" true)
      (dict "name" "poll" "roles" "poll" "probe" "poll" "values" $v.poll "takesWebhooks" false)
      (dict "name" "process" "roles" "process" "probe" "process" "values" $v.process "takesWebhooks" false)) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* The name of the component that takes webhooks. */}}
{{- define "postident-bridge.webhookComponent" -}}
{{- ternary "all-in-one" "webhook" (eq .Values.mode "all-in-one") -}}
{{- end -}}

{{/* The port of an address such as ":8080". */}}
{{- define "postident-bridge.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}
