{{/* The chart's name, for labels. */}}
{{- define "zitadel-notification-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of most objects: release and chart, or only the release if it contains the
     chart's name. A Service's name has no dots, and starts with a letter. */}}
{{- define "zitadel-notification-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- $name = default $full .Values.fullnameOverride | replace "." "-" | trunc 63 | trimSuffix "-" }}
{{- if not (regexMatch "^[a-z]" $name) }}
{{- fail (printf "%s would be a Service's name, which must start with a letter: set fullnameOverride, or take another release name" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{/* The full name with a suffix. If that is too long, a hash replaces the end of the name,
     because two releases may differ only there. Takes (list $ SUFFIX). */}}
{{- define "zitadel-notification-operator.suffixed" -}}
{{- $suffix := last . }}
{{- $room := sub 62 (len $suffix) | int }}
{{- $full := include "zitadel-notification-operator.fullname" (first .) }}
{{- if gt (len $full) $room }}
{{- $full = printf "%s-%s" ($full | trunc (sub $room 9 | int) | trimSuffix "-") (sha256sum $full | trunc 8) }}
{{- end }}
{{- printf "%s-%s" $full $suffix }}
{{- end }}

{{- define "zitadel-notification-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* The Lease of the operator's class. */}}
{{- define "zitadel-notification-operator.lease" -}}
{{- printf "zitadel-notification-operator-%s" .Values.class | trimSuffix "-" }}
{{- end }}

{{/* The full name, for objects without a namespace, with the class and a suffix if there
     are any: the release of another class may have the same name in another namespace.
     Takes (list $ SUFFIX). */}}
{{- define "zitadel-notification-operator.clusterName" -}}
{{- $suffix := list (first .).Values.class (last .) | compact | join "-" }}
{{- if $suffix }}
{{- include "zitadel-notification-operator.suffixed" (list (first .) $suffix) }}
{{- else }}
{{- include "zitadel-notification-operator.fullname" (first .) }}
{{- end }}
{{- end }}

{{- define "zitadel-notification-operator.serviceAccountName" -}}
{{- $default := ternary (include "zitadel-notification-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{/* The labels by which Services and others select the pods; they never change. */}}
{{- define "zitadel-notification-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "zitadel-notification-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The labels of the pods. They do not contain the chart's version, so that a new chart
     with the same program restarts no pod. */}}
{{- define "zitadel-notification-operator.standardLabels" -}}
{{ include "zitadel-notification-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: zitadel-notification-operator
{{- end }}

{{/* The labels of every object, and those of a single one. Takes (list $ MAP...); the
     first map that has a key takes precedence. */}}
{{- define "zitadel-notification-operator.labels" -}}
{{- $root := first . }}
{{- $labels := include "zitadel-notification-operator.standardLabels" $root | fromYaml }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- range rest . }}
{{- $labels = merge $labels . }}
{{- end }}
{{- toYaml (merge $labels $root.Values.commonLabels) }}
{{- end }}

{{- define "zitadel-notification-operator.podLabels" -}}
{{- $labels := include "zitadel-notification-operator.standardLabels" . | fromYaml }}
{{- toYaml (merge $labels .Values.podLabels .Values.commonLabels) }}
{{- end }}

{{- define "zitadel-notification-operator.image" -}}
{{- with .Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}
{{- .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}
{{- else }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "zitadel-notification-operator.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* "yes" if an object of monitoring.coreos.com is rendered. Takes (list $ VALUES). */}}
{{- define "zitadel-notification-operator.monitored" -}}
{{- $served := (first .).Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}
{{- with last . }}
{{- if .enabled }}
{{- if or $served (eq .renderMode "alwaysRender") }}yes
{{- else if eq .renderMode "failIfMissing" }}
{{- fail "monitoring.coreos.com/v1 is not served: install Prometheus Operator's CRDs, or set renderMode to skipIfMissing" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The endpoint of both kinds of monitors. Takes a monitor's values. */}}
{{- define "zitadel-notification-operator.endpoint" -}}
{{- $own := include "zitadel-notification-operator.ownEndpoint" . | fromYaml }}
{{- /* Not `merge`, which ignores false, 0 and "". */}}
{{- range $name, $value := .extraEndpoint }}
{{- $_ := set $own $name $value }}
{{- end }}
{{- toYaml $own }}
{{- end }}

{{- define "zitadel-notification-operator.ownEndpoint" -}}
port: metrics
path: /metrics
{{- if .honorLabels }}
honorLabels: true
{{- end }}
{{- with .interval }}
interval: {{ . | quote }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . | quote }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The target of both kinds of monitors, which may be in another namespace than the
     monitor. Takes (list $ VALUES). */}}
{{- define "zitadel-notification-operator.target" -}}
namespaceSelector:
  matchNames:
    - {{ include "zitadel-notification-operator.namespace" (first .) | quote }}
{{- with last . }}
{{- with .jobLabel }}
jobLabel: {{ . | quote }}
{{- end }}
{{- with .podTargetLabels }}
podTargetLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
selector:
  matchLabels:
    {{- include "zitadel-notification-operator.selectorLabels" (first .) | nindent 4 }}
{{- end }}

{{/* The proxy's variables. The API server is always an exception, by a variable that
     Kubernetes expands. The dollar signs of the user's values are escaped, so that
     Kubernetes expands nothing in them. */}}
{{- define "zitadel-notification-operator.proxy" -}}
{{- with .Values.proxy }}
{{- with .httpProxy }}
- name: HTTP_PROXY
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- with .httpsProxy }}
- name: HTTPS_PROXY
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- if or .httpProxy .httpsProxy }}
- name: NO_PROXY
  value: {{ list "$(KUBERNETES_SERVICE_HOST)" "kubernetes.default.svc" (.noProxy | replace "$" "$$") | compact | join "," | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The labels of the test's pod; no selector for the operator's pods may match them. */}}
{{- define "zitadel-notification-operator.testLabels" -}}
app.kubernetes.io/name: "{{ include "zitadel-notification-operator.name" . | trunc 58 | trimSuffix "-" }}-test"
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}
