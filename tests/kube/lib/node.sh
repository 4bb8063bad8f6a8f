# A node: namespaces, cgroups and network. What runs in it is agent.sh's and control.sh's. Sourced.

make_cgroups() { # node: one below the caller's own in each hierarchy; the list goes to <node>/cgroups
    local names path dir
    while IFS=: read -r _ names path; do
        [ -n "$names" ] || continue
        dir=/sys/fs/cgroup/${names#name=}${path%/}
        [ -e "$dir/cgroup.procs" ] || continue
        mkdir -p "$dir/handfast-kube-$(slot)-$1" || fail "cannot make a cgroup in $dir"
        dir=$dir/handfast-kube-$(slot)-$1
        if [ "$names" = cpuset ]; then
            cat "$dir/../cpuset.cpus" >"$dir/cpuset.cpus"
            cat "$dir/../cpuset.mems" >"$dir/cpuset.mems"
        fi
        echo "$dir"
    done </proc/self/cgroup >"$state/$1/cgroups"
    grep -q '/memory/' "$state/$1/cgroups" && grep -q '/pids/' "$state/$1/cgroups" ||
        fail "no cgroup v1 hierarchies in /sys/fs/cgroup; this cluster needs them (or use another cluster: KUBECONFIG)"
}

remove_cgroups() { # node
    local dir
    while read -r dir; do
        [ -d "$dir" ] && find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null
        [ ! -d "$dir" ] || return 1
    done <"$state/$1/cgroups"
}

enter_new_namespaces() { # node: becomes the node's init (in a subshell, in the background)
    local dir
    while read -r dir; do echo "$BASHPID" >"$dir/cgroup.procs"; done <"$state/$1/cgroups"
    exec setsid unshare --pid --fork --mount --net --uts --ipc --cgroup -- "$here/lib/node-init" "$1" "$state" "$bin" "$here"
}

make_node() { # node
    local dir=$state/$1
    mkdir -p "$dir/log"
    make_cgroups "$1"
    (enter_new_namespaces "$1") </dev/null >"$dir/log/init.log" 2>&1 &
    wait_until "$patience" init_of "$1" || fail_with_log "$1" init "its namespaces were not made"
    if [ "$1" = node-1 ]; then connect_to_machine; else connect_to_first "$1"; fi
}

in_net() { # node, command...: the node's network, the machine's everything else
    local pid
    pid=$(init_of "$1") || fail "$1 does not run"
    shift
    nsenter --target "$pid" --net -- "$@"
}

# eth0 of the first node is a bridge: the machine hangs on it, and so does every other node. Its address is fixed: a bridge
# otherwise takes one of its ports', and whoever knew it loses it for half a minute when a node joins or leaves.
connect_to_machine() {
    ip link set "$(machine_link)-up" netns "$(init_of node-1)" name machine || fail "no link to node-1"
    ip link set "$(machine_link)" up
    in_net node-1 ip -batch - <<IP
link add eth0 address 02:00:00:00:0$(slot):01 type bridge
link set machine master eth0 up
link set eth0 up
addr add $(node_address node-1)/24 dev eth0
route add $services dev eth0
IP
}

connect_to_first() { # node
    local other
    in_net node-1 ip link add "$1" type veth peer name eth0 netns "$(init_of "$1")" &&
        in_net node-1 ip link set "$1" master eth0 up || fail "no link between node-1 and $1"
    in_net "$1" ip -batch - <<IP
link set eth0 up
addr add $(node_address "$1")/24 dev eth0
route add $services dev eth0
IP
    for other in $(nodes); do
        [ "$other" = "$1" ] && continue
        in_net "$other" ip route replace "$(pods_of "$1")" via "$(node_address "$1")"
        in_net "$1" ip route replace "$(pods_of "$other")" via "$(node_address "$other")"
    done
}

take_slot() { # a free range of addresses; the name of the link is what reserves it
    local n link
    for n in 0 1 2 3 4 5 6 7 8 9; do
        link=hfkube$n
        ip link add "$link" type veth peer name "$link-up" 2>/dev/null || continue
        echo "$n" >"$state/slot"
        ip addr add "$(machine_address)/24" dev "$link" && return
        fail "no address on $link"
    done
    fail "ten clusters are running already, or no veth links can be made"
}

remove_node() { # node: kills its init, and with it everything; then its cgroups and its files go
    local pid parent other
    if pid=$(init_of "$1"); then
        parent=$(sed -n 's/^PPid:\t//p' "/proc/$pid/status")
        kill -9 "$pid"
        # It waits for the init and goes by itself, unless somebody has stopped it.
        [ "$(cat "/proc/$parent/comm")" != unshare ] || kill -9 "$parent"
    fi 2>/dev/null
    wait_until 30 not init_of "$1" || fail "the init of $1 does not end"
    if [ -e "$state/$1/cgroups" ]; then
        wait_until 30 remove_cgroups "$1" || fail "the cgroups of $1 are still in use: $(head -1 "$state/$1/cgroups")"
    fi
    for other in $(nodes); do
        [ "$other" != "$1" ] && init_of "$other" >/dev/null || continue
        in_net "$other" ip route del "$(pods_of "$1")" 2>/dev/null
        [ "$other" = node-1 ] && in_net node-1 ip link del "$1" 2>/dev/null
    done
    rm -rf --one-file-system "${state:?}/$1"
}
