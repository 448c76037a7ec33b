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

{{- /* What contradicts. The two origins must be two hosts; the gateway serves them on 8400 and 8407 behind one Service each. */ -}}
{{- define "countersign.check" -}}
{{- if eq (.Values.appUrl | trimPrefix "https://" | splitList ":" | first) (.Values.accountUrl | trimPrefix "https://" | splitList ":" | first) -}}
{{- fail "appUrl and accountUrl must have different hosts: the agent's page must not be on the origin that has the consent buttons" -}}
{{- end -}}
{{- $conversations := .Values.agent.conversations -}}
{{- if and .Values.agent.enabled (gt (int .Values.agent.replicas) 1) (not $conversations.existingClaim) (not $conversations.s3.bucket) -}}
{{- fail "agent.replicas above 1 need agent.conversations.s3 or agent.conversations.existingClaim: each replica would have conversations of its own" -}}
{{- end -}}
{{- if and $conversations.s3.bucket (not (and $conversations.s3.region $conversations.s3.keyArn)) -}}
{{- fail "agent.conversations.s3 needs bucket, region and keyArn" -}}
{{- end -}}
{{- end }}
