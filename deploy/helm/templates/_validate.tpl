{{/* Everything that is wrong with the values and that no schema can say, at once. */}}
{{- define "postident-bridge.validate" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- if not $v.image.repository -}}
{{- $wrong = append $wrong "image.repository: not set; name the image that `make image` built, in a registry of yours" -}}
{{- end -}}
{{- if not $v.config.kafka.brokers -}}
{{- $wrong = append $wrong "config.kafka.brokers: not set; name the brokers as host:port" -}}
{{- end -}}
{{- if not $v.accounts -}}
{{- $wrong = append $wrong "accounts: not set; at least one account of the API is needed" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $i, $a := $v.accounts -}}
  {{- if hasKey $seen $a.clientId -}}
    {{- $wrong = append $wrong (printf "accounts[%d].clientId: %s is also that of accounts[%d]" $i $a.clientId (int (get $seen $a.clientId))) -}}
  {{- end -}}
  {{- $_ := set $seen $a.clientId $i -}}
  {{- $has := include "postident-bridge.account" $a | fromYaml -}}
  {{- if not $has.password -}}
    {{- $wrong = append $wrong (printf "accounts[%d]: no existingSecret; it holds the API user's password under the key password" $i) -}}
  {{- end -}}
  {{- if not (or $has.dataPassword (eq (default "required" $a.encryption) "optional")) -}}
    {{- $wrong = append $wrong (printf "accounts[%d].dataPassword: not set, though answers are encrypted; where they are not, say encryption: optional" $i) -}}
  {{- end -}}
  {{- if ne (empty $has.webhookUsername) (empty $has.webhookPassword) -}}
    {{- $wrong = append $wrong (printf "accounts[%d]: webhookUsername and webhookPassword go together" $i) -}}
  {{- end -}}
  {{- if and (eq (default "client" $a.access) "partner") (or (eq (default "status" $a.payload) "result") (ne (default "off" $a.records) "off") $a.archive) -}}
    {{- $wrong = append $wrong (printf "accounts[%d]: access: partner gives the status alone, so no payload: result, no records and no archive" $i) -}}
  {{- end -}}
  {{- if and (eq (default "status" $a.payload) "result") (not $v.topics.resultRetention) (or $v.strimzi.topics.enabled $v.setup.enabled $v.tests.enabled) -}}
    {{- $wrong = append $wrong (printf "topics.resultRetention: not set, though accounts[%d] publishes results, which are personal data; say for how long, such as 720h" $i) -}}
  {{- end -}}
  {{- if and (ne (default "off" $a.records) "off") (not $v.config.records.url) -}}
    {{- $wrong = append $wrong (printf "config.records.url: not set, though accounts[%d].records is %s" $i $a.records) -}}
  {{- end -}}
{{- end -}}
{{- $needed := include "postident-bridge.shutdownSeconds" . | float64 -}}
{{- if and $v.terminationGracePeriodSeconds (le (float64 $v.terminationGracePeriodSeconds) $needed) -}}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds: %v is not longer than config.shutdown.delay and config.shutdown.timeout together (%s + %s); Kubernetes would kill the bridge while it stops" $v.terminationGracePeriodSeconds $v.config.shutdown.delay $v.config.shutdown.timeout) -}}
{{- end -}}
{{- range $kind := list "ingress" "httpRoute" -}}
  {{- $edge := get $v $kind -}}
  {{- if and $edge.enabled (not $v.config.webhook.trustedProxies) -}}
    {{- $wrong = append $wrong (printf "config.webhook.trustedProxies: not set, though %s.enabled is true; name the network of its pods, or every webhook is refused with 403" $kind) -}}
  {{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.hosts: not set" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- $wrong = append $wrong "httpRoute.parentRefs: not set; name the Gateway" -}}
{{- end -}}
{{- if and (or $v.strimzi.topics.enabled $v.strimzi.users.enabled) (not $v.strimzi.cluster) -}}
{{- $wrong = append $wrong "strimzi.cluster: not set; name the Kafka cluster" -}}
{{- end -}}
{{- if and (eq $v.strimzi.users.authentication "tls") $v.strimzi.users.enabled (not $v.strimzi.users.tls) -}}
{{- $wrong = append $wrong "strimzi.users.tls: false, though strimzi.users.authentication is tls" -}}
{{- end -}}
{{- if and $v.setup.enabled $v.setup.hook (or $v.externalSecrets.enabled $v.strimzi.users.enabled) -}}
{{- $wrong = append $wrong "setup.hook: true, but a hook runs before the Secrets of externalSecrets and strimzi.users are there; set it to false" -}}
{{- end -}}
{{- if and $v.setup.enabled $v.setup.topics $v.strimzi.topics.enabled -}}
{{- $wrong = append $wrong "setup.topics: true, though strimzi.topics.enabled makes the topics; choose one" -}}
{{- end -}}
{{- if and $v.externalSecrets.enabled (not (and $v.externalSecrets.secretStoreRef $v.externalSecrets.secrets)) -}}
{{- $wrong = append $wrong "externalSecrets: secretStoreRef and secrets are needed" -}}
{{- end -}}
{{- $process := ternary $v.allInOne $v.process (eq $v.mode "all-in-one") -}}
{{- if and $v.config.kafka.groupInstanceId (or $process.stableIdentity (gt (int $process.replicaCount) 1)) -}}
{{- $wrong = append $wrong "config.kafka.groupInstanceId: one id for several pods, of which the older would stop; leave it empty and set stableIdentity" -}}
{{- end -}}
{{- if eq (include "postident-bridge.port" $v.config.webhook.addr) (include "postident-bridge.port" $v.config.admin.addr) -}}
{{- $wrong = append $wrong (printf "config.admin.addr: %s has the port of config.webhook.addr" $v.config.admin.addr) -}}
{{- end -}}
{{- range $kind := list "webhook" "allInOne" -}}
  {{- $a := (get $v $kind).autoscaling -}}
  {{- if and $a.enabled (gt (int $a.minReplicas) (int $a.maxReplicas)) -}}
    {{- $wrong = append $wrong (printf "%s.autoscaling: minReplicas (%d) is more than maxReplicas (%d)" $kind (int $a.minReplicas) (int $a.maxReplicas)) -}}
  {{- end -}}
{{- end -}}
{{- range $kind := list "commonLabels" "podLabels" -}}
  {{- range $label, $_ := get $v $kind -}}
    {{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component") -}}
      {{- $wrong = append $wrong (printf "%s: %s selects the chart's pods and is its own; choose another label" $kind $label) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $wrong = concat $wrong (compact (splitList "\n" (include "postident-bridge.mistakesOfSettings" .))) (compact (splitList "\n" (include "postident-bridge.secretsInPlainText" .))) -}}
{{- if $wrong -}}
{{- printf "\n\n%d mistake(s) in the values:\n  %s\n" (len $wrong) (join "\n  " (uniq $wrong)) | fail -}}
{{- end -}}
{{- end -}}

{{/* What is wrong with the settings of those that run, a line each. */}}
{{- define "postident-bridge.mistakesOfSettings" -}}
{{- $v := .Values -}}
{{- $all := (include "postident-bridge.components" . | fromYaml).components -}}
{{- if $v.setup.enabled -}}{{- $all = append $all (dict "name" "setup" "values" $v.setup) -}}{{- end -}}
{{- if $v.tests.enabled -}}{{- $all = append $all (dict "name" "test" "values" (dict "kafka" (default $v.setup.kafka $v.tests.kafka))) -}}{{- end -}}
{{- range $all -}}
{{- range (include "postident-bridge.settings" (dict "root" $ "name" .name "override" .values.kafka) | fromYaml).wrong }}
{{ . }}
{{- end }}
{{- $sasl := (include "postident-bridge.kafka" (dict "root" $ "name" .name "override" .values.kafka) | fromYaml).sasl | default dict -}}
{{- $elsewhere := or $v.extraEnv $v.envFrom .values.extraEnv .values.envFrom -}}
{{- if and (regexMatch "^(PLAIN|SCRAM)" (default "" $sasl.mechanism)) (not (and $sasl.username $sasl.password)) (not $elsewhere) }}
config.kafka.sasl: {{ $sasl.mechanism }} without username and password, for {{ .name }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Secrets that stand in the values, a line each. */}}
{{- define "postident-bridge.secretsInPlainText" -}}
{{- $v := .Values -}}
{{- $variables := list -}}
{{- range $name, $value := $v.otel -}}{{- $variables = append $variables (dict "at" "otel" "name" $name "value" $value) -}}{{- end -}}
{{- range concat $v.extraEnv $v.webhook.extraEnv $v.poll.extraEnv $v.process.extraEnv $v.allInOne.extraEnv -}}
  {{- $variables = append $variables (merge (dict "at" "extraEnv") .) -}}
{{- end -}}
{{- range $variables -}}
{{- $named := regexMatch "(?i)(SECRET|TOKEN|PASSWORD|CONNECTION_STRING|_HEADERS$|_KEY$)" .name -}}
{{- /* Where a secret is, is none. */ -}}
{{- $place := regexMatch "(_(FILE|URL|URI|ENDPOINT|PATH|DIR|ARN|NAME|ID)|^OTEL_.*_KEY)$" .name -}}
{{- if and .value (or (and $named (not $place)) (regexMatch "://[^/@]*:[^/@]+@" (toString .value))) }}
{{ .at }}: {{ .name }} stands there in plain text; take it from a Secret
{{- end }}
{{- end -}}
{{- if regexMatch "(?i)([?&](sig|[^=&]*(secret|token|password|access_?key|account_?key)[^=&]*)=|://[^/?]*:[^/?]*@)" $v.config.records.url }}
config.records.url: a secret stands there in plain text; give it by process.envFrom, from a Secret
{{- end }}
{{- range $at, $tree := dict "config" $v.config "webhook.kafka" $v.webhook.kafka "poll.kafka" $v.poll.kafka "process.kafka" $v.process.kafka "allInOne.kafka" $v.allInOne.kafka "setup.kafka" $v.setup.kafka "tests.kafka" $v.tests.kafka -}}
{{- if contains "PRIVATE KEY" (toJson $tree) }}
{{ $at }}: a private key stands in a pem in plain text; take it from a Secret
{{- end }}
{{- end -}}
{{- end -}}
