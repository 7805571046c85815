{{- define "loadstar.gatewayContainer" -}}
name: gateway
image: {{ include "loadstar.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if eq .Values.mode "standalone" }}
restartPolicy: Always
{{- end }}
args:
- gateway
- --config-map=$(POD_NAMESPACE)/{{ include "loadstar.name" . }}/picker.yaml
- --pool-namespace=$(POD_NAMESPACE)
- --drain-timeout={{ .Values.drainSeconds }}s
- --workers={{ .Values.workers }}
{{- if .Values.signals.enabled }}
- --signals-port=9004
{{- end }}
{{- if eq .Values.mode "gateway-api" }}
- --pool-name={{ .Values.pool.name }}
{{- else }}
{{- $labels := list }}
{{- range $key, $value := .Values.pool.selector }}
{{- $labels = append $labels (printf "%s=%s" $key $value) }}
{{- end }}
- --endpoint-selector={{ join "," $labels }}
- --endpoint-target-ports={{ join "," .Values.pool.targetPorts }}
{{- end }}
{{- if .Values.tls.secretName }}
- --cert-path=/etc/loadstar/tls
- --enable-cert-reload
{{- end }}
{{- if .Values.metrics.tokenSecret }}
- --metrics-token-file=/etc/loadstar/metrics/token
{{- end }}
{{- if and .Values.signals.enabled .Values.signals.tokenSecret }}
- --signals-token-file=/etc/loadstar/signals/token
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
env:
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: NUMBA_CACHE_DIR
  value: /tmp/numba
ports:
- name: ext-proc
  containerPort: 9002
- name: health
  containerPort: 9003
- name: metrics
  containerPort: 9090
{{- if .Values.signals.enabled }}
- name: signals
  containerPort: 9004
{{- end }}
startupProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  grpc:
    port: 9003
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "loadstar.containerSecurity" . | nindent 2 }}
volumeMounts:
- name: tmp
  mountPath: /tmp
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/loadstar/tls
  readOnly: true
{{- end }}
{{- if .Values.metrics.tokenSecret }}
- name: metrics-token
  mountPath: /etc/loadstar/metrics
  readOnly: true
{{- end }}
{{- if .Values.signals.tokenSecret }}
- name: signals-token
  mountPath: /etc/loadstar/signals
  readOnly: true
{{- end }}
{{- end -}}

{{- define "loadstar.envoyContainer" -}}
name: envoy
image: {{ .Values.envoy.image }}
command: [/usr/local/bin/envoy]
args: [-c, /etc/envoy/envoy.yaml, --disable-hot-restart, --concurrency, {{ .Values.envoy.concurrency | quote }}]
ports:
- name: http
  containerPort: 8081
readinessProbe:
  tcpSocket:
    port: http
  periodSeconds: 2
livenessProbe:
  tcpSocket:
    port: http
  periodSeconds: 10
  failureThreshold: 6
lifecycle:
  preStop:
    sleep:
      seconds: {{ .Values.envoy.drainSeconds }}
resources:
  {{- toYaml .Values.envoy.resources | nindent 2 }}
securityContext:
  {{- include "loadstar.containerSecurity" . | nindent 2 }}
volumeMounts:
- name: envoy
  mountPath: /etc/envoy
  readOnly: true
{{- end -}}

{{- define "loadstar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
