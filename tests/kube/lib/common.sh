# What every part of tests/kube/cluster uses: where things are, who has which address, waiting, failing with a log.
# Sourced; expects $here (tests/kube).

state=$(realpath -m "${HANDFAST_KUBE_STATE:-/var/lib/handfast-kube}")
services=10.96.0.0/16
api_service=10.96.0.1
dns_service=10.96.0.10
pods=10.244.0.0/16
pause_image=handfast.test/pause:1
patience=180 # seconds until a component that still runs is given up; on an idle machine everything takes ten

fail() {
    echo "cluster: $*" >&2
    exit 1
}

fail_with_log() { # node, component, what went wrong: ends with the last words of the component
    echo "cluster: $3; $2 of $1 says:" >&2
    tail -n 15 "$state/$1/log/$2.log" 2>/dev/null | cut -c1-400 | sed 's/^/    /' >&2
    echo "cluster: all logs are in $state/$1/log" >&2
    exit 1
}

wait_until() { # seconds, command...
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -ge $deadline ] && return 1
        sleep 0.05
    done
}

# --- addresses: each cluster on a machine has a slot of its own, a /24 between its nodes and the machine ---------------

slot() { cat "$state/slot"; }
number_of() { echo "${1#node-}"; }
node_address() { echo "10.201.$(slot).$((10 + $(number_of "$1")))"; }
machine_address() { echo "10.201.$(slot).1"; }
machine_link() { echo "hfkube$(slot)"; }
pods_of() { echo "10.244.$(number_of "$1").0/24"; }
server() { echo "https://$(node_address node-1):6443"; }

nodes() { # those that have state, running or not
    local dir
    for dir in "$state"/node-*; do [ -d "$dir" ] && basename "$dir"; done
}

# --- processes of a node -----------------------------------------------------------------------------------------------

start_time() { # pid: in clock ticks since boot; pids come back, pid and start time together do not
    local stat fields
    read -r stat <"/proc/$1/stat" || return 1
    read -ra fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] && echo "${fields[19]}" # dead, and nobody has asked yet
} 2>/dev/null

init_of() { # node: the pid of its init if that runs
    local pid began
    read -r pid began <"$state/$1/init" && [ "$(start_time "$pid")" = "$began" ] && echo "$pid"
} 2>/dev/null

in_node() { # node, command...
    local pid
    pid=$(init_of "$1") || fail "$1 does not run"
    shift
    TMPDIR=/run/tmp nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup -- "$@"
}

start() { # node, component, command...: in the background; its output goes to log/<component>.log
    in_node "$1" "$here/lib/node-daemon" "$state/$1" "${@:2}"
}

running() { # node, component
    local pid
    pid=$(cat "$state/$1/pids/$2" 2>/dev/null) && (in_node "$1" kill -0 "$pid") 2>/dev/null
}

stop() { # node, component, signal
    local pid
    pid=$(cat "$state/$1/pids/$2" 2>/dev/null) || return 0
    in_node "$1" kill "-$3" "$pid" 2>/dev/null
    wait_until 30 not running "$1" "$2" || fail_with_log "$1" "$2" "it does not end"
}

not() { ! "$@"; }

wait_until_works() { # node, component; fails at once when the component has ended
    local deadline=$((SECONDS + patience))
    until "works_${2//-/_}" "$1" >/dev/null 2>&1; do
        running "$1" "$2" || fail_with_log "$1" "$2" "it ended"
        [ $SECONDS -lt $deadline ] || fail_with_log "$1" "$2" "it does not work after $patience s"
        sleep 0.05
    done
}

ensure() { # node, components...: starts those that do not run, and returns when all of them work
    local node=$1 component
    shift
    for component in "$@"; do running "$node" "$component" || "start_${component//-/_}" "$node"; done
    for component in "$@"; do wait_until_works "$node" "$component"; done
}

# --- the API -----------------------------------------------------------------------------------------------------------

kubectl() { "$bin/kubectl" --kubeconfig "$state/kubeconfig" "$@"; }

api() { # method, path [, YAML on standard input]
    local body=()
    [ "$1" = GET ] || body=(--header 'Content-Type: application/yaml' --data-binary @-)
    curl -sS --fail-with-body --max-time 10 --cacert "$state/pki/ca.crt" --cert "$state/pki/admin.crt" --key "$state/pki/admin.key" \
        -X "$1" "${body[@]}" "$(server)$2"
}
