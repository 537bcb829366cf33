{{/* What the operator may do. Every verb is one that it uses; none is there in case. */}}

{{- define "zitadel-notification-operator.instanceRules" -}}
- apiGroups: [zitadel-notification.dev]
  resources: [zitadelinstances]
  # patch: finalizer and own annotation.
  verbs: [get, list, watch, patch]
- apiGroups: [zitadel-notification.dev]
  resources: [zitadelinstances/status]
  verbs: [patch]
{{- end }}

{{- define "zitadel-notification-operator.crdRules" -}}
# Whether a CRD is being deleted: its objects then go without being undone in ZITADEL.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    - notificationpolicies.zitadel-notification.dev
    - zitadelinstances.zitadel-notification.dev
  verbs: [get]
{{- end }}

{{- define "zitadel-notification-operator.policyRules" -}}
- apiGroups: [zitadel-notification.dev]
  resources: [notificationpolicies]
  # patch: finalizer and own annotation.
  verbs: [get, list, watch, patch]
- apiGroups: [zitadel-notification.dev]
  resources: [notificationpolicies/status]
  verbs: [patch]
{{- end }}

{{- define "zitadel-notification-operator.eventRules" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "zitadel-notification-operator.ownRules" -}}
# By name only; which names, the ZitadelInstances say.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
{{- if .Values.leaderElection.enabled }}
# A name cannot restrict create.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [zitadel-notification-operator]
  verbs: [get, update]
{{- end }}
{{- end }}

{{- define "zitadel-notification-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "zitadel-notification-operator.serviceAccountName" . | quote }}
  namespace: {{ include "zitadel-notification-operator.namespace" . | quote }}
{{- end }}

{{/* A Role and its binding to the operator. Takes (list $ NAME NAMESPACE RULES). */}}
{{- define "zitadel-notification-operator.role" -}}
{{- $root := first . }}
{{- $name := index . 1 }}
{{- $namespace := index . 2 }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name | quote }}
  namespace: {{ $namespace | quote }}
  labels:
    {{- include "zitadel-notification-operator.labels" (list $root) | nindent 4 }}
rules:
  {{- last . | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name | quote }}
  namespace: {{ $namespace | quote }}
  labels:
    {{- include "zitadel-notification-operator.labels" (list $root) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name | quote }}
subjects:
  {{- include "zitadel-notification-operator.subjects" $root | nindent 2 }}
{{- end }}
