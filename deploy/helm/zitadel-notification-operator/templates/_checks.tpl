{{/* Values that exclude each other, which no schema can express. Each message says what
     to set. */}}

{{- define "zitadel-notification-operator.checks" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicas above 1 need leaderElection.enabled: without it each of them would act" }}
{{- end }}
{{- if eq (int .Values.metrics.port) (int .Values.health.port) }}
{{- fail "metrics.port and health.port are the same: set one of them to another port" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled: each pod would be scraped twice, so enable one of them only" }}
{{- end }}
{{- include "zitadel-notification-operator.checkLease" .Values.leaderElection.leaseDuration }}
{{- include "zitadel-notification-operator.checkEnv" . }}
{{- range .Values.extraVolumes }}
{{- if eq "tmp" (default "" .name) }}
{{- fail "extraVolumes: the chart has a volume tmp already, so give yours another name" }}
{{- end }}
{{- end }}
{{- end }}

{{/* The bounds of `znp run --lease-duration`. Takes a text whose form the schema has
     checked. */}}
{{- define "zitadel-notification-operator.checkLease" -}}
{{- $units := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 }}
{{- $total := 0 }}
{{- range regexFindAll "[0-9]+(ms|[hms])" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $total = add $total (mul (atoi (trimSuffix $unit .)) (get $units $unit)) }}
{{- end }}
{{- if or (lt $total 5000) (gt $total 3600000) }}
{{- fail (printf "leaderElection.leaseDuration is %s: set it from 5s to 1h" .) }}
{{- end }}
{{- end }}

{{/* If a variable is set twice, it depends on the tool which value it has. */}}
{{- define "zitadel-notification-operator.checkEnv" -}}
{{- $proxied := compact (list .Values.proxy.httpProxy .Values.proxy.httpsProxy .Values.proxy.noProxy) }}
{{- range .Values.extraEnv }}
{{- $name := default "" .name }}
{{- if eq $name "POD_NAME" }}
{{- fail "extraEnv: POD_NAME is the chart's, for the Lease; leave it out" }}
{{- end }}
{{- if and $proxied (has (upper $name) (list "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY")) }}
{{- fail (printf "extraEnv: %s goes into proxy, which is set as well; use one of the two" $name) }}
{{- end }}
{{- end }}
{{- end }}
