{{- define "handfast.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "handfast.labels" -}}
app.kubernetes.io/part-of: handfast
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Names of cluster-scoped objects and webhook hosts: one installation in a cluster. */ -}}
{{- define "handfast.control.host" -}}
handfast-control.{{ .Release.Namespace }}.svc
{{- end }}
{{- define "handfast.injector.host" -}}
handfast-injector.{{ .Release.Namespace }}.svc
{{- end }}

{{- /* What every pod of ours may do: nothing. */ -}}
{{- define "handfast.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1337
runAsGroup: 1337
fsGroup: 1337
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- define "handfast.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Replicas on different nodes where there are several. Call with (dict "app" NAME). */ -}}
{{- define "handfast.spread" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            app.kubernetes.io/name: {{ .app }}
{{- end }}

{{- define "handfast.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
