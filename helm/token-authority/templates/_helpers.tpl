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

{{/* The Secret that holds the service's own. */}}
{{- define "ta.secret" -}}
{{- if .Values.secrets.externalSecret.enabled -}}
{{ include "ta.name" . }}-secrets
{{- else -}}
{{ .Values.secrets.existingSecret }}
{{- end -}}
{{- end -}}

{{/* Which secrets there are: NAME=key, a line each. */}}
{{- define "ta.secretKeys" -}}
{{- $keys := .Values.secrets.keys -}}
{{- $names := dict "JWT_SECRET" $keys.jwtSecret "JWT_SECRET_PREVIOUS" $keys.jwtSecretPrevious "AUTHORITY_SECRET" $keys.authoritySecret "REDIS_URL" $keys.redisUrl "BETTER_AUTH_SECRET" $keys.betterAuthSecret "LEGACY_DATABASE_URL" $keys.legacyDatabaseUrl -}}
{{- if eq .Values.database.mode "postgres" -}}
{{- $_ := set $names "DATABASE_URL" $keys.databaseUrl -}}
{{- end -}}
{{- range $name, $key := $names }}
{{- if $key }}
{{ $name }}: {{ $key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether migrations run as a hook or in an init container. A hook runs before the release's own
     objects exist: no volume of its own, no Secret that another object makes. */}}
{{- define "ta.migrations" -}}
{{- $late := or (eq .Values.database.mode "sqlite") .Values.secrets.externalSecret.enabled -}}
{{- if and (eq .Values.migrations.run "job") $late -}}init{{- else -}}{{ .Values.migrations.run }}{{- end -}}
{{- end -}}

{{/* How the process ends, in seconds: it goes on serving for the delay, all that is to be
     finished has the grace, and a busy node a little more. */}}
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
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ta.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The environment that serving and migrating share. */}}
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
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A setting's text. Helm reads numbers as floats: 1e+06 is none that the service reads. */}}
{{- define "ta.text" -}}
{{- if kindIs "float64" . -}}{{ . | int64 }}{{- else -}}{{ . }}{{- end -}}
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
{{- if eq .Values.database.mode "sqlite" }}
- name: data
  mountPath: /var/lib/token-authority
{{- end }}
{{- end -}}

{{- define "ta.volumes" -}}
- name: secrets
  secret:
    secretName: {{ include "ta.secret" . | quote }}
    defaultMode: 0440
    items:
      {{- range $name, $key := include "ta.secretKeys" . | fromYaml }}
      - key: {{ $key | quote }}
        path: {{ $key | quote }}
      {{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
- name: callers
  secret:
    secretName: {{ .Values.callers.existingSecret | quote }}
    defaultMode: 0440
    items:
      - key: {{ .Values.callers.key | quote }}
        path: {{ .Values.callers.key | quote }}
{{- if eq .Values.database.mode "sqlite" }}
- name: data
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-data" (include "ta.name" .)) .Values.database.sqlite.existingClaim | quote }}
{{- end }}
{{- end -}}

{{/* What the schema cannot say: numbers that have to fit each other. */}}
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
