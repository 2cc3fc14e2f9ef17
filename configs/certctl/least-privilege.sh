#!/usr/bin/env bash
# A role for the exporter's key in certctl that may read what the exporter reads, and nothing else.
# README.md beside it says what for, and why drop-viewer has to be run after each start of certctl.
#
#   least-privilege.sh create        once: makes the role, prints its id
#   least-privilege.sh give ROLE_ID  once: gives it to the key
#   least-privilege.sh drop-viewer   takes r-viewer away from the key
#   least-privilege.sh show          what the exporter's key may do now
#
# Set these. Keys are read from files that hold the key alone, and are in no process list.
: "${CERTCTL_URL:=https://certctl.example:8443}"
: "${CERTCTL_CA:=certctl-ca.pem}"
: "${CERTCTL_NAME:=certctl-server}"       # name in the server's certificate, where it is not the URL's host
: "${ADMIN_KEY_FILE:=admin.key}"          # an administrator's key
: "${KEY_FILE:=certctl.key}"              # the exporter's, for show
: "${KEY_NAME:=bao-exporter}"             # its name in CERTCTL_API_KEYS_NAMED
: "${PERMISSIONS:=metrics.read cert.read agent.read job.read issuer.read notification.read discovery.read healthcheck.read}"
set -euo pipefail

# ask KEY_FILE METHOD PATH [JSON]: the answer's body; anything but 2xx ends the script with it.
ask() {
  local key_file=$1 method=$2 path=$3
  local host=${CERTCTL_URL#https://}
  local data=()
  [[ $# -lt 4 ]] || data=(-H "Content-Type: application/json" --data "$4")
  curl --silent --show-error --fail-with-body --tlsv1.3 --cacert "$CERTCTL_CA" \
    --connect-to "$CERTCTL_NAME:${host##*:}:$host" \
    -H @<(printf 'Authorization: Bearer %s\n' "$(<"$key_file")") \
    -X "$method" "${data[@]}" "https://$CERTCTL_NAME:${host##*:}/api/v1/auth/$path"
}

create() {
  local role permission
  role=$(ask "$ADMIN_KEY_FILE" POST roles '{"name":"bao-exporter"}' | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p')
  [[ -n $role ]] || { echo "certctl told no id of the new role" >&2; exit 1; }
  # One by one: the list of permissions in the request that makes the role is ignored.
  for permission in $PERMISSIONS; do
    ask "$ADMIN_KEY_FILE" POST "roles/$role/permissions" "{\"permission\":\"$permission\"}" >/dev/null
  done
  echo "$role"
}

give() { ask "$ADMIN_KEY_FILE" POST "keys/$KEY_NAME/roles" "{\"role_id\":\"$1\"}"; }

drop_viewer() { ask "$ADMIN_KEY_FILE" DELETE "keys/$KEY_NAME/roles/r-viewer"; }

show() {
  ask "$KEY_FILE" GET me | grep -o '"permission":"[^"]*"\|"admin":[a-z]*\|"roles":\[[^]]*\]'
}

case ${1:-} in
  create) create ;;
  give) give "${2:?the id that create printed}" ;;
  drop-viewer) drop_viewer ;;
  show) show ;;
  *) sed -n '5,8s/^# *//p' "$0" >&2; exit 2 ;;
esac
