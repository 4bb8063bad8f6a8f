# Certificates of the cluster, from one authority, made anew at each `up` and good for a month. Sourced.

request_config() { printf '[req]\ndistinguished_name = dn\n[dn]\n'; }

certificate() { # name, subject, subjectAltName or nothing
    local extensions=(-addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature
        -addext extendedKeyUsage=clientAuth,serverAuth)
    [ -z "${3:-}" ] || extensions+=(-addext "subjectAltName=$3")
    openssl req -x509 -config <(request_config) -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "$2" \
        -CA "$state/pki/ca.crt" -CAkey "$state/pki/ca.key" "${extensions[@]}" \
        -keyout "$state/pki/$1.key" -out "$state/pki/$1.crt" 2>"$state/pki/openssl.log" || fail "certificate $1: $(cat "$state/pki/openssl.log")"
}

kubeconfig() { # name of a certificate, server: writes pki/<name>.kubeconfig
    cat >"$state/pki/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: handfast-kube
clusters:
- name: handfast-kube
  cluster:
    server: $2
    certificate-authority-data: $(base64 -w0 "$state/pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$state/pki/$1.crt")
    client-key-data: $(base64 -w0 "$state/pki/$1.key")
contexts:
- name: handfast-kube
  context: {cluster: handfast-kube, user: $1}
YAML
}

identity() { # name, subject: a client of the API: certificate and kubeconfig
    certificate "$1" "$2"
    kubeconfig "$1" "$(server)"
}

make_pki() {
    mkdir -p "$state/pki"
    openssl req -x509 -config <(request_config) -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=handfast-kube \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$state/pki/ca.key" -out "$state/pki/ca.crt" 2>"$state/pki/openssl.log" || fail "authority: $(cat "$state/pki/openssl.log")"
    openssl ecparam -name prime256v1 -genkey -noout -out "$state/pki/service-account.key"
    certificate apiserver /CN=kube-apiserver "IP:$(node_address node-1),IP:$api_service,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
    certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
    identity admin /O=system:masters/CN=admin
    identity kube-controller-manager /O=system:masters/CN=system:kube-controller-manager
    identity kube-scheduler /CN=system:kube-scheduler
    identity kube-proxy /CN=system:kube-proxy
    identity coredns /O=system:masters/CN=coredns
    cp "$state/pki/admin.kubeconfig" "$state/kubeconfig"
}
