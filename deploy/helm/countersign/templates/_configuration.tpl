{{- define "countersign.tls" -}}
{ certificates = [{ certificate = "/etc/countersign/tls/tls.crt", private_key = "/etc/countersign/tls/tls.key" }] }
{{- end }}

{{- define "countersign.operations" -}}
[operations]
listen = "0.0.0.0:8409"
plaintext_from = {{ .Values.metricsFrom | toJson }}
{{- end }}

{{- define "countersign.rootKey" -}}
{{- if .key.kms }}{ kms = { key_arn = "{{ .key.kms }}" } }{{ else }}"/etc/countersign/root-key/{{ .role }}.key"{{ end }}
{{- end }}

{{- define "countersign.configuration.identity" -}}
{{- $gateway := include "countersign.host" (dict "root" . "role" "gateway") -}}
{{- $identity := include "countersign.host" (dict "root" . "role" "identity") -}}
[keys]
identity = {{ include "countersign.rootKey" (dict "key" .Values.identity.rootKey "role" "identity") }}

{{ include "countersign.operations" . }}

[identity]
account = "{{ .Values.account }}"
region = "{{ .Values.region }}"
listen_api = "0.0.0.0:8401"
listen_front_channel = "0.0.0.0:8408"
api_tls = {{ include "countersign.tls" . }}
front_channel_tls = {{ include "countersign.tls" . }}
api_hosts = ["{{ $identity }}:8401"]
front_channel_hosts = ["{{ $identity }}:8408"]
front_channel_url = "{{ .Values.accountUrl }}"
app_url = "{{ .Values.appUrl }}"
start_login = "required"
outbound_allow = ["{{ $gateway }}:8402"]
checkpoint_file = "/var/lib/countersign/audit-checkpoints"
{{- with .Values.identity.extra }}
{{ . }}
{{- end }}

[identity.database]
url = "env:DATABASE_URL"
{{- if .Values.identity.initialAdmin.existingSecret }}

[identity.initial_admin]
access_key_id = "env:INITIAL_ADMIN_ACCESS_KEY_ID"
secret_access_key = "env:INITIAL_ADMIN_SECRET_ACCESS_KEY"
{{- end }}

[[identity.gateways]]
issuer = "https://{{ $gateway }}:8402/default"
workload_audiences = { "{{ .Values.agent.workload }}" = "{{ .Values.agent.workload }}" }
completion_audience = "binding"
start_audience = "identity"
stop_list_audience = "identity-stop-list"
{{- with .Values.identity.serviceAccountIssuer }}

[[identity.workload_issuers]]
issuer = "{{ . }}"
account = "{{ $.Values.account }}"
{{- end }}
{{- end }}

{{- define "countersign.configuration.gateway" -}}
{{- $gateway := include "countersign.host" (dict "root" . "role" "gateway") -}}
{{- $identity := include "countersign.host" (dict "root" . "role" "identity") -}}
[keys]
gateway = {{ include "countersign.rootKey" (dict "key" .Values.gateway.rootKey "role" "gateway") }}

{{ include "countersign.operations" . }}

[gateway]
account = "{{ .Values.account }}"
region = "{{ .Values.region }}"
checkpoint_file = "/var/lib/countersign/gateway-audit-checkpoints"
outbound_allow = ["{{ $identity }}:8408"]
{{- with .Values.gateway.extra }}
{{ . }}
{{- end }}

[gateway.database]
url = "env:DATABASE_URL"

[gateway.authenticate_oidc]
issuer = "{{ .Values.login.issuer }}"
client_id = "{{ .Values.login.clientId }}"
client_secret = "env:LOGIN_CLIENT_SECRET"

[gateway.stop_list]
url = "https://{{ $identity }}:8408/identities/stops"
audience = "identity-stop-list"

[gateway.claims_header]
signer = "arn:aws:elasticloadbalancing:{{ .Values.region }}:{{ .Values.account }}:loadbalancer/app/{{ include "countersign.name" . }}/0000000000000001"

[gateway.user_token]
issuer = "https://{{ $gateway }}:8402/default"
{{- range $listener, $port := dict "app" 8400 "account" 8407 }}

[gateway.listeners.{{ $listener }}]
listen = "0.0.0.0:{{ $port }}"
origin = "{{ eq $listener "app" | ternary $.Values.appUrl $.Values.accountUrl }}"
tls = {{ include "countersign.tls" $ }}
{{- with $.Values.gateway.proxyProtocolFrom }}
proxy_protocol = { trusted_sources = {{ toJson . }} }
{{- end }}
{{- if eq $listener "app" }}
rules = [
  { priority = 10, conditions = { path_pattern = ["/identities", "/identities/*"] }, actions = [{ type = "fixed-response", status_code = 404 }] },
{{- if $.Values.agent.enabled }}
  { priority = 20, conditions = { path_pattern = ["/invocations"] }, actions = [{ type = "authenticate-oidc", on_unauthenticated_request = "authenticate-navigation" }, { type = "forward", target_group = "agent" }] },
  { priority = 30, conditions = { path_pattern = ["/*"] }, actions = [{ type = "authenticate-oidc" }, { type = "forward", target_group = "agent" }] },
{{- end }}
]
{{- else }}
rules = [
  { priority = 10, conditions = { path_pattern = ["/identities/oauth2/authorize"] }, actions = [{ type = "authenticate-oidc", on_unauthenticated_request = "allow" }, { type = "forward", target_group = "identity" }] },
  { priority = 20, conditions = { path_pattern = ["/identities/oauth2/authorize/login"] }, actions = [{ type = "authenticate-oidc" }, { type = "forward", target_group = "identity" }] },
  { priority = 30, conditions = { path_pattern = ["/identities/oauth2/callback/*"] }, actions = [{ type = "forward", target_group = "identity" }] },
  { priority = 40, conditions = { path_pattern = ["/identities", "/identities/*"] }, actions = [{ type = "fixed-response", status_code = 404 }] },
  { priority = 50, conditions = { path_pattern = ["/oauth2/session-binding", "/oauth2/session-binding/*"] }, actions = [{ type = "authenticate-oidc" }, { type = "forward", target_group = "binding" }] },
  { priority = 60, conditions = { path_pattern = ["/connections", "/connections/*"] }, actions = [{ type = "authenticate-oidc" }, { type = "forward", target_group = "identity" }] },
  { priority = 70, conditions = { path_pattern = ["/console", "/console/*"] }, actions = [{ type = "authenticate-oidc" }, { type = "forward", target_group = "identity" }] },
]
{{- end }}
{{- end }}

[gateway.listeners.keys]
listen = "0.0.0.0:8402"
hosts = ["{{ $gateway }}:8402"]
tls = {{ include "countersign.tls" . }}
{{- range $role, $port := dict "agent" 8405 "binding" 8406 "identity" 8408 }}
{{- if or (ne $role "agent") $.Values.agent.enabled }}

[gateway.target_groups.{{ $role }}]
url = "https://{{ include "countersign.host" (dict "root" $ "role" $role) }}:{{ $port }}"
user_token_audience = "{{ eq $role "agent" | ternary $.Values.agent.workload $role }}"
{{- if eq $role "identity" }}
user_token_groups = true
{{- end }}
{{- if ne $role "agent" }}
cookies = ["browser", "csrf"]
{{- end }}
certificate_authority = "/etc/countersign/tls/ca.crt"
{{- end }}
{{- end }}
{{- end }}

{{- define "countersign.credentials" -}}
endpoint = "https://{{ include "countersign.host" (dict "root" . "role" "identity") }}:8401"
region = "{{ .Values.region }}"
access_key_id = "env:ACCESS_KEY_ID"
secret_access_key = "env:SECRET_ACCESS_KEY"
{{- end }}

{{- define "countersign.configuration.binding" -}}
{{- $gateway := include "countersign.host" (dict "root" . "role" "gateway") -}}
{{ include "countersign.operations" . }}

[binding]
listen = "0.0.0.0:8406"
tls = {{ include "countersign.tls" . }}
hosts = ["{{ include "countersign.host" (dict "root" . "role" "binding") }}:8406"]
account_url = "{{ .Values.accountUrl }}"
app_url = "{{ .Values.appUrl }}"
gateway_issuer = "https://{{ $gateway }}:8402/default"
audience = "binding"
outbound_allow = ["{{ $gateway }}:8402"]
{{- with .Values.binding.extra }}
{{ . }}
{{- end }}

[binding.identity]
{{ include "countersign.credentials" . }}
{{- end }}

{{- define "countersign.configuration.agent" -}}
{{- $gateway := include "countersign.host" (dict "root" . "role" "gateway") -}}
{{- $s3 := .Values.agent.conversations.s3 -}}
[keys]
agent = {{ if $s3.bucket }}{ kms = { key_arn = "{{ $s3.keyArn }}" } }{{ else }}"/var/lib/countersign/agent.key"{{ end }}

{{ include "countersign.operations" . }}

[agent]
listen = "0.0.0.0:8405"
tls = {{ include "countersign.tls" . }}
hosts = ["{{ include "countersign.host" (dict "root" . "role" "agent") }}:8405"]
app_url = "{{ .Values.appUrl }}"
gateway_issuer = "https://{{ $gateway }}:8402/default"
audience = "{{ .Values.agent.workload }}"
account = "{{ .Values.account }}"
workload = "{{ .Values.agent.workload }}"
return_url = "{{ .Values.accountUrl }}/oauth2/session-binding"
front_channel_url = "{{ .Values.accountUrl }}"
conversations = {{ if $s3.bucket }}{ s3 = { bucket = "{{ $s3.bucket }}", region = "{{ $s3.region }}" } }{{ else }}"/var/lib/countersign/conversations"{{ end }}
model = "{{ .Values.agent.model }}"
{{- if .Values.agent.modelApiKey.existingSecret }}
model_api_key = "env:MODEL_API_KEY"
{{- end }}
outbound_allow = ["{{ $gateway }}:8402"]
{{- with .Values.agent.extra }}
{{ . }}
{{- end }}

[agent.identity]
{{ include "countersign.credentials" . }}
{{- end }}
