"""The release itself: what it may do, what its API takes, whom its control plane believes, and that it goes without a trace."""
import concurrent.futures
import copy
import json
import os
import re
import subprocess
import tempfile

from kube import HERE, KubeCase, main, needs_nodes, pod
from mesh import APPS, CHART, MESHED, SYSTEM, MeshCase, account, client, helm, install, policy, uninstall

SELECTOR = {"matchLabels": {"app": "web"}}


def source(**fields):
    return {"rules": [{"from": [{"source": fields}]}]}


def operation(**fields):
    return {"rules": [{"to": [{"operation": fields}]}]}


def when(**fields):
    return {"rules": [{"when": [fields]}]}


class Chart(KubeCase):
    """The chart as it is kept in the tree for its defaults, three replicas, and with every switch on: tests/kube/golden."""

    files = ("../../deploy/kubernetes/handfast.yaml", "rendered/ha.yaml", "rendered/everything.yaml")

    def test_what_it_renders_is_what_is_kept_in_the_tree(self):
        done = subprocess.run([os.path.join(HERE, "golden"), "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_helm_has_nothing_against_it(self):
        helm("lint", "--strict", CHART, "--kube-version", "v1.29.0")

    def test_a_server_takes_every_object_of_it(self):
        stranger = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
                    "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced",
                             "names": {"kind": "PodMonitor", "plural": "podmonitors"},
                             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                                 "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
        if not self.kube.get("crd", "podmonitors.monitoring.coreos.com"):
            self.kube.apply(stranger)
            self.addCleanup(self.kube.kubectl, "delete", "crd", "podmonitors.monitoring.coreos.com")
        self.kube.wait("condition=Established", "crd/podmonitors.monitoring.coreos.com")
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
        for file in self.files:
            with self.subTest(file=file), open(os.path.join(HERE, file)) as text:
                objects = text.read()
                said = self.kube.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", namespace=SYSTEM, input=objects)
                self.assertEqual(len(said.splitlines()), len(re.findall("^kind:", objects, re.MULTILINE)), said)


class Resources(MeshCase):
    taken = [
        ("AuthorizationPolicy", {}),
        ("AuthorizationPolicy", {"action": "DENY", "rules": [{}]}),
        ("AuthorizationPolicy", {"selector": SELECTOR, **source(principals=["cluster.local/ns/a/sa/b"], namespaces=["a"])}),
        ("AuthorizationPolicy", source(serviceAccounts=["a/b"], ipBlocks=["10.0.0.0/8"])),
        ("AuthorizationPolicy", source(notPrincipals=["*"])),
        ("AuthorizationPolicy", operation(ports=["1", "8080", "65535"])),
        ("AuthorizationPolicy", when(key="source.namespace", notValues=["a*"])),
        ("PeerAuthentication", {}),
        ("PeerAuthentication", {"mtls": {"mode": "STRICT"}}),
        ("PeerAuthentication", {"selector": SELECTOR, "mtls": {"mode": "DISABLE"}, "portLevelMtls": {"8080": {"mode": "PERMISSIVE"}}}),
    ]
    refused = [
        ("AuthorizationPolicy", {"action": "AUDIT"}, "Unsupported value"),
        ("AuthorizationPolicy", {"action": "allow"}, "Unsupported value"),
        ("AuthorizationPolicy", {"rulez": []}, "unknown field"),
        ("AuthorizationPolicy", {"rules": [{"from": []}]}, "at least 1"),
        ("AuthorizationPolicy", {"rules": [{"from": [{}]}]}, "source"),
        ("AuthorizationPolicy", source(), "at least 1"),
        ("AuthorizationPolicy", source(principals=[]), "at least 1"),
        ("AuthorizationPolicy", source(principals="a"), "array"),
        ("AuthorizationPolicy", source(requestPrincipals=["*"]), "does not read"),
        ("AuthorizationPolicy", source(serviceAccounts=["b"], namespaces=["a"]), "cannot be combined"),
        ("AuthorizationPolicy", operation(ports=["0"]), "should match"),
        ("AuthorizationPolicy", operation(ports=["65536"]), "should match"),
        ("AuthorizationPolicy", operation(ports=["http"]), "should match"),
        ("AuthorizationPolicy", operation(ports=[8080]), "must be of type string"),
        ("AuthorizationPolicy", operation(methods=["GET"]), "does not read"),
        ("AuthorizationPolicy", operation(paths=["/"], ports=["80"]), "does not read"),
        ("AuthorizationPolicy", when(key="request.headers[x]", values=["a"]), "Unsupported value"),
        ("AuthorizationPolicy", when(key="source.ip"), "values or notValues"),
        ("AuthorizationPolicy", {"selector": {"matchLabels": {"app": "w*"}}}, "without wildcards"),
        ("AuthorizationPolicy", {"selector": {}}, "matchLabels"),
        ("PeerAuthentication", {"mtls": {"mode": "strict"}}, "Unsupported value"),
        ("PeerAuthentication", {"mtls": "STRICT"}, "mtls"),
        ("PeerAuthentication", {"portLevelMtls": {"8080": {"mode": "STRICT"}}}, "needs a selector"),
        ("PeerAuthentication", {"selector": SELECTOR, "portLevelMtls": {"http": {"mode": "STRICT"}}}, "1 to 65535"),
        ("PeerAuthentication", {"selector": SELECTOR, "portLevelMtls": {"70000": {"mode": "STRICT"}}}, "1 to 65535"),
    ]

    def test_the_server_takes_what_is_right(self):
        self.kube.apply(*(policy(kind, f"right-{number}", **spec) for number, (kind, spec) in enumerate(self.taken)))
        for kind in "authorizationpolicies", "peerauthentications":
            self.wait_for(f"all {kind} have a status", lambda: all(
                each.get("status", {}).get("conditions") for each in self.kube.get(f"{kind}.handfast.io")["items"]), 10)

    def test_the_server_refuses_what_is_wrong_and_says_why(self):
        for kind, spec, because in self.refused:
            with self.subTest(kind=kind, spec=spec):
                self.assertIn(because, self.kube.refused(policy(kind, "wrong", **spec)))


class Permissions(KubeCase):
    # Everybody has these: what system:authenticated may do.
    anyones = re.compile(r"self.*reviews\.|^\[/|^ ")

    mesh = {"pods": "list watch", "services": "list watch", "namespaces": "list watch", "endpointslices.discovery.k8s.io": "list watch",
            "authorizationpolicies.handfast.io": "list watch", "peerauthentications.handfast.io": "list watch",
            "authorizationpolicies.handfast.io/status": "patch", "peerauthentications.handfast.io/status": "patch",
            "tokenreviews.authentication.k8s.io": "create", "configmaps": "create", "configmaps handfast-ca-root-cert": "list watch patch",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io handfast-injector": "list watch patch",
            "clusterroles.rbac.authorization.k8s.io handfast-control": "get"}
    own = {"secrets": "create", "secrets handfast-ca": "list watch update", "secrets handfast-injector-tls": "list watch patch",
           "leases.coordination.k8s.io": "create", "leases.coordination.k8s.io handfast-control": "get update patch"}

    @classmethod
    def setUpClass(cls):
        install()
        super().setUpClass()

    def may(self, name, namespace):
        """What kubectl auth can-i --list says: "resource [name]" -> verbs, less what anybody may."""
        said = self.kube.kubectl("auth", "can-i", "--list", "--no-headers", f"--as=system:serviceaccount:{SYSTEM}:{name}", namespace=namespace)
        found = {}
        for line in said.splitlines():
            if not self.anyones.search(line):
                resource, _, names, verbs = re.match(r"(\S+)\s+(\[.*?\])\s+\[(.*?)\]\s+\[(.*?)\]$", line).groups()
                found[f"{resource} {names}".strip()] = verbs
        return found

    def test_the_control_plane_may_do_no_more_than_it_does(self):
        self.assertEqual(self.may("handfast-control", "default"), self.mesh)
        self.assertEqual(self.may("handfast-control", SYSTEM), {**self.mesh, **self.own})

    def test_the_injector_may_read_its_own_certificate_and_nothing_else(self):
        self.assertEqual(self.may("handfast-injector", "default"), {})
        self.assertEqual(self.may("handfast-injector", SYSTEM), {"secrets handfast-injector-tls": "list watch"})


@needs_nodes
class TakenAway(KubeCase):
    """Control planes outside of the cluster, each with a service account that lacks one permission of the chart: its log says which.
    While they run they write what the installed one writes too, which nobody's own cluster should have to bear.
    """

    # What is only done later: when a proxy calls, when the authority is renewed, at the end, for a policy without a status.
    later = {("tokenreviews", "create"), ("handfast-ca", "update"), ("handfast-control", "patch"),
             ("authorizationpolicies/status", "patch"), ("peerauthentications/status", "patch")}
    rbac = "rbac.authorization.k8s.io"
    program = os.path.join(os.environ.get("HANDFAST_BIN", os.path.join(HERE, "..", "..", "build", "release")), "handfast-control")

    @classmethod
    def setUpClass(cls):
        install()
        super().setUpClass()
        cls.kube.kubectl("label", "namespace", cls.namespace, *(f"{key}={value}" for key, value in MESHED.items()))
        cls.config = json.loads(cls.kube.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        roles = {kind: cls.kube.get(kind, "handfast-control", namespace=SYSTEM)["rules"] for kind in ("ClusterRole", "Role")}
        cls.all = [(kind, group, resource, name, verb) for kind, rules in roles.items() for rule in rules
                   for group in rule["apiGroups"] for resource in rule["resources"]
                   for name in rule.get("resourceNames", [None]) for verb in rule["verbs"]]

    def role(self, kind, name, missing):
        """A role with all permissions of its kind but one, and what binds it."""
        rules = [{"apiGroups": [group], "resources": [resource], "verbs": [verb], **({"resourceNames": [only]} if only else {})}
                 for of, group, resource, only, verb in self.all if of == kind and (of, group, resource, only, verb) != missing]
        metadata = {"name": name, **({"namespace": name} if kind == "Role" else {})}
        yield {"apiVersion": f"{self.rbac}/v1", "kind": kind, "metadata": metadata, "rules": rules}
        yield {"apiVersion": f"{self.rbac}/v1", "kind": f"{kind}Binding", "metadata": metadata,
               "roleRef": {"apiGroup": self.rbac, "kind": kind, "name": name},
               "subjects": [{"kind": "ServiceAccount", "name": "control", "namespace": name}]}

    def refusals(self, number, missing):
        """The lines about refusals that a control plane without the permission logs within a few seconds."""
        name = f"{self.namespace}-{number}"
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        who = {**account("control"), "metadata": {"name": "control", "namespace": name}}
        try:
            self.kube.apply(space, who, *self.role("ClusterRole", name, missing), *self.role("Role", name, missing), namespace=name)
            config = copy.deepcopy(self.config)
            config["users"][0]["user"] = {"token": self.kube.kubectl("create", "token", "control", namespace=name).strip()}
            with tempfile.NamedTemporaryFile("w") as file:
                json.dump(config, file)
                file.flush()
                argv = [self.program, "--source", "kubernetes", "--kubeconfig", file.name, "--namespace", name,
                        "--injector-dns-name", "a.b", "--listen", "127.0.0.1:0", "--metrics-port", "0"]
                done = subprocess.run(["timeout", "6", *argv], capture_output=True, text=True)
            return [line for line in (done.stdout + done.stderr).splitlines() if "403" in line]
        finally:
            self.kube.kubectl("delete", "clusterrole,clusterrolebinding", name, "--ignore-not-found")
            self.kube.kubectl("delete", "namespace", name, "--wait=false")

    def test_the_log_says_which_permission_is_missing(self):
        self.assertEqual(self.refusals(0, None), [])
        missing = [each for each in self.all if (each[3] or each[2], each[4]) not in self.later]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            said = list(pool.map(self.refusals, range(1, len(missing) + 1), missing))
        for each, lines in zip(missing, said):
            with self.subTest(missing=each):
                self.assertTrue(lines, "nobody missed it")


class Tokens(MeshCase):
    """A gRPC client that is not ours asks for a certificate. A token that is believed leads to the next question: what is asked for."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kube.apply(account("holder"), cls.holder("holder"))
        cls.kube.wait("condition=Ready", "pod/holder")

    @staticmethod
    def holder(name):
        """A pod without a sidecar that has the trust bundle and tokens for two audiences."""
        tokens = [{"serviceAccountToken": {"audience": audience, "path": audience}} for audience in ("handfast", "somebody-else")]
        mounts = [{"name": "trust", "mountPath": "/trust"}, {"name": "tokens", "mountPath": "/tokens"}]
        return pod(name, client(volumeMounts=mounts), labels={"handfast.io/inject": "false"}, serviceAccountName="holder",
                   volumes=[{"name": "trust", "configMap": {"name": "handfast-ca-root-cert"}},
                            {"name": "tokens", "projected": {"sources": tokens}}])

    def token(self, audience, pod="holder"):
        return self.kube.exec(pod, "cat", f"/tokens/{audience}")

    def ask(self, token):
        host = f"handfast-control.{SYSTEM}.svc"
        return self.kube.kubectl("exec", "-i", "holder", "--", *APPS, "grpc", f"{host}:15012", "/trust/root-cert.pem", host, input=token)

    def test_a_token_of_a_pod_that_is_there_is_believed(self):
        self.assertTrue(self.ask(self.token("handfast")).startswith("INVALID_ARGUMENT"))  # an empty request for a certificate

    def test_a_token_for_another_audience_is_not(self):
        self.assertIn("UNAUTHENTICATED", self.ask(self.token("somebody-else")))

    def test_a_token_of_nobody_is_not(self):
        for token in "", "x", "a.b.c":
            self.assertIn("UNAUTHENTICATED", self.ask(token))

    def test_a_token_of_a_pod_that_was_deleted_is_not(self):
        self.kube.apply(self.holder("gone"))
        self.kube.wait("condition=Ready", "pod/gone")
        token = self.token("handfast", "gone")
        self.kube.kubectl("delete", "pod", "gone", "--wait=true")
        self.assertIn("UNAUTHENTICATED", self.ask(token))


class Uninstalling(MeshCase):
    KINDS = "configmaps,secrets,leases,serviceaccounts,roles,rolebindings,deployments,services,poddisruptionbudgets,pods,networkpolicies"
    CLUSTER_KINDS = "clusterroles,clusterrolebindings,customresourcedefinitions,mutatingwebhookconfigurations"

    def ours(self):
        items = self.kube.get(self.KINDS, "--all-namespaces")["items"] + self.kube.get(self.CLUSTER_KINDS)["items"]
        return [f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for each in items
                if "handfast" in each["metadata"]["name"]]

    def test_uninstall_leaves_nothing_behind(self):
        before = self.ours()
        for name in f"ConfigMap {self.namespace}/handfast-ca-root-cert", f"Secret {SYSTEM}/handfast-ca", f"Lease {SYSTEM}/handfast-control":
            self.assertIn(name, before)
        self.kube.apply(policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}))
        uninstall()
        try:
            self.wait_for("nothing is left", lambda: not self.ours(), 60, 1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.ours()}") from None
        self.kube.apply(pod("plain"))  # nothing stands in the way of pods where the label is still
        self.kube.wait("condition=Ready", "pod/plain")
        self.assertEqual(len(self.kube.get("pod", "plain")["spec"]["containers"]), 1)


def tearDownModule():
    uninstall()


if __name__ == "__main__":
    main()
