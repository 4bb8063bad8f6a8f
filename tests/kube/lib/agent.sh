# What runs on every node: containerd, the kubelet and kube-proxy, with the settings without which they do not start in
# namespaces. For each component start_<name> and works_<name>, which take the node. Sourced.

containerd_config() {
    cat <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause_image"
  restrict_oom_score_adj = true   # else runc fails: "can't get final child's PID from pipe: EOF"
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/var/lib/cni/conf"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TOML
}

pod_network_config() { # node
    cat <<JSON
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
    "ipam": {
      "type": "host-local", "dataDir": "/run/cni",
      "ranges": [[{"subnet": "$(pods_of "$1")"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
JSON
}

kubelet_config() {
    cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $state/pki/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$dns_service]
clusterDomain: cluster.local
resolvConf: $state/resolv.conf
volumePluginDir: /var/lib/kubelet/volume-plugins
cgroupDriver: cgroupfs
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: 20000
evictionHard: {memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
syncFrequency: 10s   # changed ConfigMaps arrive in pods within so much; the default is a minute
YAML
}

kube_proxy_config() { # node
    cat <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $state/pki/kube-proxy.kubeconfig}
hostnameOverride: $1
mode: nftables
clusterCIDR: $pods
detectLocalMode: ClusterCIDR
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}   # the machine's, not the node's
YAML
}

start_containerd() { # node
    mkdir -p "$state/$1/lib/cni/conf"
    containerd_config >"$state/$1/containerd.toml"
    pod_network_config "$1" >"$state/$1/lib/cni/conf/pods.conflist"
    start "$1" containerd containerd --config "$state/$1/containerd.toml" --log-level warn
}

works_containerd() { in_node "$1" ctr version; }

load_image() { # node, tar
    in_node "$1" ctr --namespace k8s.io images import - <"$2" >>"$state/$1/log/import.log" 2>&1 ||
        fail_with_log "$1" import "cannot load $2"
}

start_kubelet() { # node
    : >"$state/resolv.conf" # pods know the cluster's names and no others
    identity "$1" "/O=system:nodes/CN=system:node:$1"
    kubelet_config >"$state/$1/kubelet.yaml"
    start "$1" kubelet "$bin/kubelet" --config "$state/$1/kubelet.yaml" --kubeconfig "$state/pki/$1.kubeconfig" \
        --hostname-override "$1" --node-ip "$(node_address "$1")"
}

works_kubelet() {
    in_node "$1" curl -fs http://127.0.0.1:10248/healthz &&
        [ "$(kubectl get node "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

start_kube_proxy() { # node
    kube_proxy_config "$1" >"$state/$1/kube-proxy.yaml"
    start "$1" kube-proxy "$bin/kube-proxy" --config "$state/$1/kube-proxy.yaml"
}

works_kube_proxy() { in_node "$1" curl -fs http://127.0.0.1:10256/healthz; }

load_test_images() { # node: what the pods of the tests run
    local image images
    images=$("$here/image") || fail "the images for pods cannot be made"
    for image in $images; do load_image "$1" "$image"; done
}
