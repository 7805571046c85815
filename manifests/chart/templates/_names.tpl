{{/* What everything of a release is called. */}}
{{- define "loadstar.name" -}}
{{- printf "%s-loadstar" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* What tells its pods from others. */}}
{{- define "loadstar.selector" -}}
app.kubernetes.io/name: loadstar-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "loadstar.labels" -}}
{{ include "loadstar.selector" . }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: loadstar
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Name and labels of an object. */}}
{{- define "loadstar.metadata" -}}
name: {{ include "loadstar.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "loadstar.labels" . | nindent 2 }}
{{- end -}}
