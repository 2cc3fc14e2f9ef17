# What the exporter's token may do: read the metrics of a node, and nothing else.
#
#   bao policy write metrics-read configs/openbao/metrics-read.hcl
#   bao token create -orphan -period=24h -policy=metrics-read -field=token
#
# In the root namespace: sys/metrics is not answered in any other. The policy "default", which a
# token has beside this one, lets it look itself up and renew itself; without it
# (-no-default-policy) the metrics can be read all the same.
path "sys/metrics" {
  capabilities = ["read"]
}
