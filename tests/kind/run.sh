#!/usr/bin/env bash
# Builds the image with Docker, installs the chart with it in a new kind cluster, and lets
# it keep a policy of an emulated ZITADEL. In the end the cluster is deleted again.
#
#     make test-kind [HELM=helm3] [NODE=1.31]
#
# HELM is `helm` (4) or `helm3`, NODE one of the versions in nodes.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PWD/.venv/bin:$PWD/.tools/bin:$PATH
helm=${HELM:-helm}
node=${NODE:-1.37}
chart=deploy/helm/zitadel-notification-operator
name="zitadel-notification-operator"
tag=$name:kind
cluster=znp-$$
for program in docker kubectl jq curl; do
    if ! command -v "$program" >/dev/null; then
        echo "This needs $program, which is not on the PATH" >&2
        exit 1
    fi
done
image=$(sed -n "s/^$node //p" tests/kind/nodes.txt)
if [ -z "$image" ]; then
    echo "tests/kind/nodes.txt has no image of Kubernetes $node: NODE is one of" \
        "$(sed -n 's/^\([0-9.]*\) .*/\1/p' tests/kind/nodes.txt | tr '\n' ' ')" >&2
    exit 1
fi

folder=$(mktemp -d)
export KUBECONFIG=$folder/kubeconfig
say() { printf '\n== %s\n' "$*"; }

emulator=
end() {
    code=$?
    if [ "$code" != 0 ] && [ -s "$KUBECONFIG" ]; then
        say "It failed; this is what the cluster has"
        kubectl get all,events --all-namespaces || true
        kubectl get zni,znp --all-namespaces --output=yaml || true
        kubectl logs --namespace "$name" --selector "app.kubernetes.io/name=$name" \
            --tail=200 --prefix || true
    fi
    if [ -n "$emulator" ]; then
        kill "$emulator" || true
        wait "$emulator" || true
    fi
    kind delete cluster --name "$cluster" || true
    rm -rf "$folder"
    exit "$code"
}
trap end EXIT

say "Build the image"
digest=$(python tools/base_image.py --digest)
docker build --tag "$tag" --build-arg BUILDER_DIGEST="$digest" \
    --build-arg BASE_DIGEST="$digest" --build-arg REVISION="$(git rev-parse HEAD)" .

say "Kubernetes $node in kind"
kind create cluster --name "$cluster" --image "$image" --wait 180s
kind load docker-image --name "$cluster" "$tag"

say "An emulated ZITADEL on this machine, where pods can reach it"
gateway=$(docker exec "$cluster-control-plane" ip -4 route show default |
    sed -n 's/^default via \([0-9.]*\) .*/\1/p')
touch "$folder/emulator.log"
znp emulator --host "$gateway" --port 0 --token kind-token >"$folder/emulator.log" 2>&1 &
emulator=$!
zitadel=
for _ in $(seq 60); do
    zitadel=$(sed -n '1s/^\(http:[^ ]*\).*/\1/p' "$folder/emulator.log")
    [ -z "$zitadel" ] || break
    sleep 1
done
[ -n "$zitadel" ] || { cat "$folder/emulator.log"; exit 1; }

say "Install the chart with $("$helm" version --short)"
"$helm" install "$name" "$chart" --namespace "$name" --create-namespace \
    --set image.repository="$name" --set image.tag=kind --wait --timeout 180s
"$helm" test "$name" --namespace "$name" --timeout 120s

say "A policy becomes Ready, and ZITADEL has its value"
kubectl create secret generic zitadel-credentials --namespace "$name" \
    --from-literal=token=kind-token
kubectl apply -f - <<END
apiVersion: zitadel-notification.dev/v1alpha1
kind: ZitadelInstance
metadata: {name: default}
spec:
  url: $zitadel
  allowInsecureHTTP: true
  credentials: {personalAccessToken: {secretRef: {name: zitadel-credentials}}}
  grants: [{namespaces: [default]}]
---
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicy
metadata: {name: acme, namespace: default}
spec:
  scope: Organization
  organization: {id: "280000000000000101"}
  passwordChange: false
END
kubectl wait --for=condition=Ready --timeout=120s --namespace default znp/acme
kubectl get znp --namespace default

# Fails unless this is what ZITADEL says of the organization.
expect() {
    local found
    found=$(curl --fail --silent --show-error "$zitadel/management/v1/policies/notification" \
        --header "Authorization: Bearer kind-token" \
        --header "x-zitadel-orgid: 280000000000000101" |
        jq --raw-output '"\(.policy.passwordChange // false) \(
            if .policy.isDefault then "inherited" else "own" end)"')
    if [ "$found" != "$1" ]; then
        echo "ZITADEL should have: $1; it has: $found" >&2
        return 1
    fi
}
expect "false own"

say "An upgrade keeps it"
"$helm" upgrade "$name" "$chart" --namespace "$name" --reset-then-reuse-values \
    --set replicas=1 --wait --timeout 180s
kubectl wait --for=condition=Ready --timeout=120s --namespace default znp/acme
expect "false own"

say "Its deletion is finished, and the organization inherits again"
kubectl delete znp acme --namespace default --timeout=120s
expect "true inherited"
kubectl delete zni default --timeout=120s
"$helm" uninstall "$name" --namespace "$name" --wait --timeout 180s
say "Done: $helm, Kubernetes $node"
