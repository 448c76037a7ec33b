{{- define "countersign.name" -}}
{{ printf "%s-countersign" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "countersign.roles" -}}
identity gateway binding{{ if .Values.agent.enabled }} agent{{ end }}
{{- end }}

{{- define "countersign.host" -}}
{{ printf "%s-%s.%s.svc" (include "countersign.name" .root) .role .root.Release.Namespace }}
{{- end }}

{{- define "countersign.labels" -}}
app.kubernetes.io/name: countersign
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "countersign.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* The two origins must be two hosts; the gateway serves them on 8400 and 8407 behind one Service each. */ -}}
{{- define "countersign.check" -}}
{{- if eq (.Values.appUrl | trimPrefix "https://" | splitList ":" | first) (.Values.accountUrl | trimPrefix "https://" | splitList ":" | first) -}}
{{- fail "appUrl and accountUrl must have different hosts: the agent's page must not be on the origin that has the consent buttons" -}}
{{- end -}}
{{- end }}
