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

{{/* Name, selector and labels of another part: dict "root" $ "part" "autoscaler". */}}
{{- define "loadstar.partName" -}}
{{- printf "%s-%s" (include "loadstar.name" .root) .part -}}
{{- end -}}

{{- define "loadstar.partSelector" -}}
app.kubernetes.io/name: loadstar-{{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "loadstar.partLabels" -}}
{{ include "loadstar.partSelector" . }}
app.kubernetes.io/component: {{ .part }}
app.kubernetes.io/part-of: loadstar
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "loadstar.partMetadata" -}}
name: {{ include "loadstar.partName" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "loadstar.partLabels" . | nindent 2 }}
{{- end -}}

{{/* What belongs to the whole cluster: no other release's, in whichever namespace. */}}
{{- define "loadstar.wideMetadata" -}}
name: {{ include "loadstar.wideName" . }}
labels:
  {{- include "loadstar.partLabels" . | nindent 2 }}
{{- end -}}

{{- define "loadstar.wideName" -}}
{{- printf "%s:%s" .root.Release.Namespace (include "loadstar.partName" .) -}}
{{- end -}}

{{- define "loadstar.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ $tag }}{{ end }}
{{- end -}}

{{- define "loadstar.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where the pods of another part may stand: dict "root" $ "part" "autoscaler". */}}
{{- define "loadstar.partPlacing" -}}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "loadstar.partSelector" . | nindent 6 }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Name and labels of an object. */}}
{{- define "loadstar.metadata" -}}
name: {{ include "loadstar.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "loadstar.labels" . | nindent 2 }}
{{- end -}}
