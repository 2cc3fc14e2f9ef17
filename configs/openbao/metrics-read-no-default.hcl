# As metrics-read.hcl, for a token without the policy "default" (-no-default-policy, or
# token_no_default_policy=true in a role): what that would let the exporter ask of its own token.
#
#   bao policy write metrics-read configs/openbao/metrics-read-no-default.hcl
#   bao token create -orphan -period=24h -no-default-policy -policy=metrics-read -field=token
path "sys/metrics" {
  capabilities = ["read"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}
