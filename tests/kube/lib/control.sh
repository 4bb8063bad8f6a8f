# What runs on the first node only: etcd, the API server, controller-manager, scheduler, CoreDNS. Sourced.

start_etcd() {
    start node-1 etcd "$bin/etcd" --name node-1 --data-dir /var/lib/etcd --log-level warn --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster node-1=http://127.0.0.1:2380
}

start_apiserver() { # with the arguments in apiserver.args as well
    local more=()
    [ -s "$state/apiserver.args" ] && mapfile -t more <"$state/apiserver.args"
    start node-1 kube-apiserver "$bin/kube-apiserver" \
        --etcd-servers http://127.0.0.1:2379 \
        --advertise-address "$(node_address node-1)" \
        --service-cluster-ip-range "$services" \
        --tls-cert-file "$state/pki/apiserver.crt" --tls-private-key-file "$state/pki/apiserver.key" \
        --client-ca-file "$state/pki/ca.crt" \
        --kubelet-client-certificate "$state/pki/apiserver-kubelet.crt" --kubelet-client-key "$state/pki/apiserver-kubelet.key" \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$state/pki/service-account.key" \
        --service-account-signing-key-file "$state/pki/service-account.key" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
        "${more[@]}"
}

wait_for_apiserver() { wait_for_component node-1 kube-apiserver api GET /readyz; }

# On SIGTERM it would hang for a minute on open watches. Everything it knows is in etcd.
stop_apiserver() { stop node-1 kube-apiserver KILL; }

start_controller_manager() {
    start node-1 kube-controller-manager "$bin/kube-controller-manager" \
        --kubeconfig "$state/pki/kube-controller-manager.kubeconfig" --leader-elect=false \
        --root-ca-file "$state/pki/ca.crt" --service-account-private-key-file "$state/pki/service-account.key" \
        --cluster-signing-cert-file "$state/pki/ca.crt" --cluster-signing-key-file "$state/pki/ca.key" \
        --flex-volume-plugin-dir /var/lib/kubelet/volume-plugins --kube-api-qps 1000 --kube-api-burst 2000
}

start_scheduler() {
    start node-1 kube-scheduler "$bin/kube-scheduler" \
        --kubeconfig "$state/pki/kube-scheduler.kubeconfig" --leader-elect=false --kube-api-qps 1000 --kube-api-burst 2000
}

# CoreDNS is a process of the node behind the usual Service: one thing less that has to be scheduled.
start_dns() {
    cat >"$state/Corefile" <<COREFILE
.:53 {
    bind $(node_address node-1)
    ready $(node_address node-1):8181
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa {
        kubeconfig $state/pki/coredns.kubeconfig
        pods verified
        ttl 5
    }
}
COREFILE
    start node-1 coredns "$bin/coredns" -conf "$state/Corefile"
}

publish_dns() {
    api_has POST /api/v1/namespaces/kube-system/services <<YAML
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: $dns_service
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
YAML
    api_has POST /apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices <<YAML
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

api_has() { # method, path; YAML on standard input: makes the object, again and again until the namespace is there
    local body said deadline=$((SECONDS + patience))
    body=$(cat)
    until said=$(api "$@" <<<"$body") || grep -q '"AlreadyExists"' <<<"$said"; do
        [ $SECONDS -lt $deadline ] || fail "$2: $said"
        sleep 0.05
    done
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
