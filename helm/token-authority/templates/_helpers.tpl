{{/* Names and labels. */}}
{{- define "ta.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "ta.selector" -}}
app.kubernetes.io/name: token-authority
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "ta.labels" -}}
app.kubernetes.io/name: token-authority
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ta.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* The name of the Secret with the service's secrets. */}}
{{- define "ta.secret" -}}
{{- if .Values.secrets.externalSecret.enabled -}}
{{ include "ta.name" . }}-secrets
{{- else -}}
{{ .Values.secrets.existingSecret }}
{{- end -}}
{{- end -}}

{{/* The secrets that are set, as YAML: NAME: key. */}}
{{- define "ta.secretKeys" -}}
{{- $keys := .Values.secrets.keys -}}
{{- $names := dict "JWT_SECRET" $keys.jwtSecret "JWT_SECRET_PREVIOUS" $keys.jwtSecretPrevious "AUTHORITY_SECRET" $keys.authoritySecret "REDIS_URL" $keys.redisUrl "BETTER_AUTH_SECRET" $keys.betterAuthSecret "LEGACY_DATABASE_URL" $keys.legacyDatabaseUrl "OTEL_EXPORTER_OTLP_HEADERS" $keys.otlpHeaders -}}
{{- if eq .Values.database.mode "postgres" -}}
{{- $_ := set $names "DATABASE_URL" $keys.databaseUrl -}}
{{- end -}}
{{- range $name, $key := $names }}
{{- if $key }}
{{ $name }}: {{ $key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether migrations run as a hook or in an init container. A hook runs before the release's objects
     exist, so it has neither the volume nor a Secret that an ExternalSecret creates. */}}
{{- define "ta.migrations" -}}
{{- $late := or (eq .Values.database.mode "sqlite") .Values.secrets.externalSecret.enabled -}}
{{- if and (eq .Values.migrations.run "job") $late -}}init{{- else -}}{{ .Values.migrations.run }}{{- end -}}
{{- end -}}

{{/* The shutdown in seconds: the service continues to serve for the delay, requests in flight have the
     grace period, and ten seconds are a margin for a busy node. */}}
{{- define "ta.shutdownDelay" -}}
{{- dig "SHUTDOWN_DELAY_SECONDS" 5 .Values.settings | int -}}
{{- end -}}
{{- define "ta.shutdownGrace" -}}
{{- dig "SHUTDOWN_GRACE_SECONDS" 25 .Values.settings | int -}}
{{- end -}}
{{- define "ta.terminationGrace" -}}
{{- add (include "ta.shutdownDelay" . | int) (include "ta.shutdownGrace" . | int) 10 -}}
{{- end -}}

{{- define "ta.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- with .Values.podSecurityContext }}
{{- if .fsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ta.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The environment of both serve and migrate. */}}
{{- define "ta.sharedEnv" -}}
- name: ENVIRONMENT
  value: production
{{- if eq .Values.database.mode "sqlite" }}
- name: DATA_DIR
  value: /var/lib/token-authority
{{- end }}
{{- range $name, $key := include "ta.secretKeys" . | fromYaml }}
- name: {{ $name }}_FILE
  value: /etc/token-authority/secrets/{{ $key }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ include "ta.text" $value | quote }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: TLS_CERT
  value: /etc/token-authority/tls/tls.crt
- name: TLS_KEY
  value: /etc/token-authority/tls/tls.key
{{- if .Values.tls.clientCa }}
- name: TLS_CLIENT_CA
  value: /etc/token-authority/tls/ca.crt
{{- end }}
{{- else }}
- name: TLS
  value: "off"
{{- end }}
- name: CALLERS_FILE
  value: /etc/token-authority/callers/{{ .Values.callers.key }}
{{- if include "ta.hasDatabaseCa" . }}
- name: PGSSLROOTCERT
  value: /etc/token-authority/database-ca/{{ .Values.database.ca.key }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A setting's text. Helm reads numbers as floats, and would print a million as 1e+06, which the
     service does not accept as a whole number. */}}
{{- define "ta.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ . | int64 }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The mode of secret files. Without fsGroup they belong to root, and the service runs as another user:
     only this pod sees the files, so that everyone in it may read them. */}}
{{- define "ta.secretMode" -}}
{{- /* 0440 and 0444, in decimal: YAML 1.1 and 1.2 disagree about octal numbers. */ -}}
{{- if .Values.podSecurityContext.fsGroup -}}288{{- else -}}292{{- end -}}
{{- end -}}

{{- define "ta.hasDatabaseCa" -}}
{{- if and (eq .Values.database.mode "postgres") (or .Values.database.ca.configMap .Values.database.ca.secret) -}}true{{- end -}}
{{- end -}}

{{- define "ta.mounts" -}}
- name: secrets
  mountPath: /etc/token-authority/secrets
  readOnly: true
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/token-authority/tls
  readOnly: true
{{- end }}
- name: callers
  mountPath: /etc/token-authority/callers
  readOnly: true
{{- if include "ta.hasDatabaseCa" . }}
- name: database-ca
  mountPath: /etc/token-authority/database-ca
  readOnly: true
{{- end }}
{{- if eq .Values.database.mode "sqlite" }}
- name: data
  mountPath: /var/lib/token-authority
{{- end }}
{{- end -}}

{{- define "ta.volumes" -}}
- name: secrets
  secret:
    secretName: {{ include "ta.secret" . | quote }}
    defaultMode: {{ include "ta.secretMode" . }}
    items:
      {{- range $name, $key := include "ta.secretKeys" . | fromYaml }}
      - key: {{ $key | quote }}
        path: {{ $key | quote }}
      {{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret | quote }}
    defaultMode: {{ include "ta.secretMode" . }}
{{- end }}
- name: callers
  secret:
    secretName: {{ .Values.callers.existingSecret | quote }}
    defaultMode: {{ include "ta.secretMode" . }}
    items:
      - key: {{ .Values.callers.key | quote }}
        path: {{ .Values.callers.key | quote }}
{{- if include "ta.hasDatabaseCa" . }}
- name: database-ca
  {{- if .Values.database.ca.configMap }}
  configMap:
    name: {{ .Values.database.ca.configMap | quote }}
    defaultMode: 292
  {{- else }}
  secret:
    secretName: {{ .Values.database.ca.secret | quote }}
    defaultMode: {{ include "ta.secretMode" . }}
  {{- end }}
    items:
      - key: {{ .Values.database.ca.key | quote }}
        path: {{ .Values.database.ca.key | quote }}
{{- end }}
{{- if eq .Values.database.mode "sqlite" }}
- name: data
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-data" (include "ta.name" .)) .Values.database.sqlite.existingClaim | quote }}
{{- end }}
{{- end -}}

{{/* Checks that the schema cannot express: numbers that depend on each other. */}}
{{- define "ta.check" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas must not be more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- $refresh := dig "JWT_REFRESH_TOKEN_EXPIRE_DAYS" 7 .Values.settings | int -}}
{{- $session := dig "SESSION_MAX_LIFETIME_DAYS" 30 .Values.settings | int -}}
{{- if lt $session $refresh -}}
{{- fail "settings.SESSION_MAX_LIFETIME_DAYS must not be less than settings.JWT_REFRESH_TOKEN_EXPIRE_DAYS" -}}
{{- end -}}
{{- $ports := list (int .Values.grpc.port) (int .Values.http.port) (int .Values.metrics.port) -}}
{{- if ne (len ($ports | uniq)) 3 -}}
{{- fail "grpc.port, http.port and metrics.port must differ" -}}
{{- end -}}
{{- end -}}
