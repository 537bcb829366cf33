{{/* The operator's permissions. It uses every verb in them. */}}

{{/* What it may do with the objects of one of its kinds. Takes the plural. */}}
{{- define "zitadel-notification-operator.kindRules" -}}
- apiGroups: [zitadel-notification.dev]
  resources: [{{ . }}]
  # patch: finalizer and own annotation.
  verbs: [get, list, watch, patch]
- apiGroups: [zitadel-notification.dev]
  resources: [{{ . }}/status]
  verbs: [patch]
{{- end }}

{{- define "zitadel-notification-operator.crdRules" -}}
# To see whether a CRD is being deleted: its objects are then deleted without a change in
# ZITADEL.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    - notificationpolicies.zitadel-notification.dev
    - notificationpolicysets.zitadel-notification.dev
    - zitadelinstances.zitadel-notification.dev
  verbs: [get]
{{- end }}

{{/* What it may do in each namespace that it watches. */}}
{{- define "zitadel-notification-operator.namespacedRules" -}}
{{ include "zitadel-notification-operator.kindRules" "notificationpolicies" }}
{{ include "zitadel-notification-operator.kindRules" "notificationpolicysets" }}
# A set makes a policy for each organization that it selects, and deletes it when the
# organization leaves. Where the admission plugin OwnerReferencesPermissionEnforcement is
# on, delete also allows the set to adopt a policy that lost its ownerReference.
- apiGroups: [zitadel-notification.dev]
  resources: [notificationpolicies]
  verbs: [create, delete]
{{ include "zitadel-notification-operator.eventRules" . }}
{{- end }}

{{- define "zitadel-notification-operator.eventRules" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "zitadel-notification-operator.ownRules" -}}
# Secrets and ConfigMaps are read by the names in the ZitadelInstances, and never listed.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
{{- if .Values.leaderElection.enabled }}
# RBAC cannot restrict create to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "zitadel-notification-operator.lease" . }}]
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
