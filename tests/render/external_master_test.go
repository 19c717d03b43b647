package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

func TestServersAloneKnowTheExternalMaster(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "externalMaster: {enabled: true, host: old-redis-master, existingSecret: old-redis, key: redis-password, tls: true}"))
	env := deploymentEnv(t, m, server)
	assert.Equal(t, "old-redis-master:6379", env["LAUNCHER_EXTERNAL_MASTER"])
	assert.Equal(t, "secret:old-redis/redis-password", env["LAUNCHER_EXTERNAL_MASTER_PASS"])
	assert.Equal(t, "true", env["LAUNCHER_EXTERNAL_MASTER_TLS"])
	assert.NotContains(t, env, "LAUNCHER_EXTERNAL_MASTER_CA_FILE", "the authorities in the image")
	for name := range deploymentEnv(t, m, sentinel) {
		assert.NotContains(t, name, "EXTERNAL")
	}

	env = deploymentEnv(t, render.Chart(t, render.YAML(t, "externalMaster: {enabled: true, host: 'fd00::1', port: 6380}")), server)
	assert.Equal(t, "[fd00::1]:6380", env["LAUNCHER_EXTERNAL_MASTER"])
	assert.NotContains(t, env, "LAUNCHER_EXTERNAL_MASTER_PASS")
	assert.NotContains(t, env, "LAUNCHER_EXTERNAL_MASTER_TLS")
	assert.NotContains(t, deploymentEnv(t, render.Chart(t, nil), server), "LAUNCHER_EXTERNAL_MASTER")
}

func TestAuthoritiesOfTheExternalMasterAreMounted(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "externalMaster: {enabled: true, host: old, tls: true, tlsSecret: old-tls, certCAFilename: authorities.pem}"))
	assert.Equal(t, "/etc/redis-ha-external/ca.crt", deploymentEnv(t, m, server)["LAUNCHER_EXTERNAL_MASTER_CA_FILE"])
	for _, p := range m.PodTemplates() {
		var mounted []string
		for _, volume := range p.Spec.Volumes {
			if volume.Secret != nil && volume.Name != "password" {
				mounted = append(mounted, volume.Name+": "+volume.Secret.SecretName+"/"+volume.Secret.Items[0].Key+" as "+volume.Secret.Items[0].Path)
			}
		}
		if p.Owner == "Deployment/"+server {
			assert.Equal(t, []string{"external: old-tls/authorities.pem as ca.crt"}, mounted)
		} else {
			assert.Empty(t, mounted, p.Owner)
		}
	}
}

func TestNotesOfAReleaseThatFollowsAnExternalMaster(t *testing.T) {
	notes := render.Chart(t, render.YAML(t, "externalMaster: {enabled: true, host: old}")).Notes
	assert.Contains(t, notes, "The servers follow old:6379")
	assert.Contains(t, notes, "launcher promote --dry-run")
	assert.Contains(t, notes, "externalMaster.enabled=false")
	assert.NotContains(t, render.Chart(t, nil).Notes, "promote")
}

func TestNetworkPolicyLetsServersThroughToTheExternalMaster(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{networkPolicy: {enabled: true}, externalMaster: {enabled: true, host: old, port: 6380}}"))
	policy := render.One[*networkingv1.NetworkPolicy](t, m, render.Fullname+"-external")
	require.Equal(t, "server", policy.Spec.PodSelector.MatchLabels["component"])
	require.Len(t, policy.Spec.Egress, 1)
	require.Equal(t, int32(6380), policy.Spec.Egress[0].Ports[0].Port.IntVal)
	require.Len(t, render.All[*networkingv1.NetworkPolicy](render.Chart(t, render.YAML(t, "externalMaster: {enabled: true, host: old}"))), 0)
}
