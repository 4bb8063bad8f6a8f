# What runs on the first node only: etcd, the API server, controller-manager, scheduler, CoreDNS. For each component
# start_<name> and works_<name>. Sourced.

start_etcd() {
    start node-1 etcd "$bin/etcd" --name node-1 --data-dir /var/lib/etcd --log-level warn --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster node-1=http://127.0.0.1:2380
}

works_etcd() { in_node node-1 curl -fs http://127.0.0.1:2379/health; }

start_kube_apiserver() { # with the arguments in apiserver.args as well
    local more=()
    [ -s "$state/apiserver.args" ] && mapfile -t more <"$state/apiserver.args"
    start node-1 kube-apiserver "$bin/kube-apiserver" \
        --etcd-servers http://127.0.0.1:2379 \
        --advertise-address "$(node_address node-1)" \
        --service-cluster-ip-range "$services" \
        --tls-cert-file "$state/pki/apiserver.crt" --tls-private-key-file "$state/pki/apiserver.key" \
        --client-ca-file "$state/pki/ca.crt" \
        --kubelet-client-certificate "$state/pki/apiserver-kubelet.crt" --kubelet-client-key "$state/pki/apiserver-kubelet.key" \
        --kubelet-preferred-address-types InternalIP \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$state/pki/service-account.key" \
        --service-account-signing-key-file "$state/pki/service-account.key" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
        "${more[@]}"
}

works_kube_apiserver() { api GET /readyz; }

start_kube_controller_manager() {
    start node-1 kube-controller-manager "$bin/kube-controller-manager" \
        --kubeconfig "$state/pki/kube-controller-manager.kubeconfig" --leader-elect=false \
        --root-ca-file "$state/pki/ca.crt" --service-account-private-key-file "$state/pki/service-account.key" \
        --cluster-signing-cert-file "$state/pki/ca.crt" --cluster-signing-key-file "$state/pki/ca.key" \
        --flex-volume-plugin-dir /var/lib/kubelet/volume-plugins --kube-api-qps 1000 --kube-api-burst 2000
}

works_kube_controller_manager() { accounts_ready; }

start_kube_scheduler() {
    start node-1 kube-scheduler "$bin/kube-scheduler" \
        --kubeconfig "$state/pki/kube-scheduler.kubeconfig" --leader-elect=false --kube-api-qps 1000 --kube-api-burst 2000
}

works_kube_scheduler() { in_node node-1 curl -fsk https://127.0.0.1:10259/healthz; }

# CoreDNS is a process of the node behind the usual Service: one thing less that has to be scheduled.
start_coredns() {
    cat >"$state/Corefile" <<COREFILE
.:53 {
    bind $(node_address node-1)
    ready $(node_address node-1):8181
    errors
    kubernetes cluster.local in-addr.arpa {
        kubeconfig $state/pki/coredns.kubeconfig
        pods verified
        ttl 5
    }
}
COREFILE
    start node-1 coredns "$bin/coredns" -conf "$state/Corefile"
}

works_coredns() { in_node node-1 curl -fs "http://$(node_address node-1):8181/ready"; }

publish_dns() {
    wait_until "$patience" api GET /api/v1/namespaces/kube-system # comes by itself, a moment after the server
    api_has /api/v1/namespaces/kube-system/services kube-dns <<YAML
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: $dns_service
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
YAML
    api_has /apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices kube-dns-node-1 <<YAML
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns-node-1
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns, endpointslice.kubernetes.io/managed-by: handfast-kube}
addressType: IPv4
endpoints: [{addresses: ["$(node_address node-1)"], conditions: {ready: true}}]
ports:
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
YAML
}

api_has() { # collection, name; YAML on standard input: makes the object unless it is there
    local body said
    body=$(cat)
    api GET "$1/$2" >/dev/null 2>&1 && return
    said=$(api POST "$1" <<<"$body" 2>&1) || fail "$1/$2: $said"
}

# A pod that comes before these two does not start.
accounts_ready() {
    api GET /api/v1/namespaces/default/serviceaccounts/default && api GET /api/v1/namespaces/default/configmaps/kube-root-ca.crt
}

compact_etcd() { # forgets every revision but the last; prints that
    local revision
    revision=$(etcd_call kv/range '{"key": "AA==", "range_end": "AA==", "keys_only": true, "limit": 1}' |
        sed -n 's/.*"revision":"\([0-9]*\)".*/\1/p') && [ -n "$revision" ] || fail "etcd does not say its revision"
    etcd_call kv/compaction "{\"revision\": \"$revision\", \"physical\": true}" >/dev/null || fail "etcd does not compact"
    echo "$revision"
}

etcd_call() { # method, JSON
    in_node node-1 curl -sS --fail-with-body --max-time 20 -d "$2" "http://127.0.0.1:2379/v3/$1"
}
