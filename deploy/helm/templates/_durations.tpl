{{/* Seconds of a duration as Go writes it (1m30s, 500ms), as a decimal number. */}}
{{- define "postident-bridge.seconds" -}}
{{- $sum := 0.0 -}}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "ns" 0.000000001 -}}
{{- range regexFindAll "[0-9.]+(h|ms|m|s|us|µs|ns)" (toString .) -1 -}}
{{- $unit := regexFind "[a-zµ]+$" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* Milliseconds of a duration, as Kafka has them; -1 of an empty one. */}}
{{- define "postident-bridge.millis" -}}
{{- if . -}}{{- mulf (include "postident-bridge.seconds" . | float64) 1000.0 | addf 0.5 | floor | int64 -}}{{- else -}}-1{{- end -}}
{{- end -}}

{{/* Seconds that a stop may take: serving on, and finishing what was begun. */}}
{{- define "postident-bridge.shutdownSeconds" -}}
{{- $s := .Values.config.shutdown -}}
{{- addf (include "postident-bridge.seconds" $s.delay | float64) (include "postident-bridge.seconds" $s.timeout | float64) -}}
{{- end -}}

{{- define "postident-bridge.terminationGracePeriodSeconds" -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- else -}}
{{- addf (include "postident-bridge.shutdownSeconds" . | float64) 10.0 | ceil | int64 -}}
{{- end -}}
{{- end -}}
