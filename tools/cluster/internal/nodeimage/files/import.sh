# Runs inside the build container of the node image, with an archive of the
# images on standard input. KUBERNETES, PROGRAMS, COREDNS and PAUSE are set.
set -eu
nohup containerd >/tmp/containerd.log 2>&1 &
for _ in $(seq 100); do
  if ctr version >/dev/null 2>&1; then break; fi
  sleep 0.1
done
images() { ctr --namespace=k8s.io images "$@"; }
images import --no-unpack --digests --label=io.cri-containerd.pinned=pinned - >/dev/null

images tag --force "$PROGRAMS" localhost/redis-ha/node-programs:local
for name in $(kubeadm config images list --kubernetes-version "$KUBERNETES"); do
  case "$name" in
    */coredns:*) images tag --force "$COREDNS" "$name" ;;
    */pause:*) images tag --force "$PAUSE" "$name" ;;
    *) images tag --force "$PROGRAMS" "$name" ;;
  esac
done
sandbox=$(sed -n 's/^ *sandbox_image *= *"\(.*\)"/\1/p' /etc/containerd/config.toml)
images tag --force "$PAUSE" "$sandbox"

# Pods get the limits of the node and, from a hook, the node's machine identity.
ctr oci spec \
  | jq '.hooks.createContainer |= . + [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
  >/etc/containerd/cri-base.json
printf %s "$KUBERNETES" >/kind/version

pkill -x containerd
for _ in $(seq 100); do
  pgrep -x containerd >/dev/null || break
  sleep 0.1
done
rm -f /tmp/containerd.log
