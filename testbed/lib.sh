# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The testbed's library, sourced by the topologies and the demo: network namespaces with a unique
# suffix, veths with as many queues as meant, far-end XDP programs, nginx, redis and lbd by pid.
# All that it makes is removed on every exit; what a killed run left behind is swept by the next one.
set -euo pipefail

tb_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tb_build=${SLUICE_BUILD:-$tb_root/build/release}
tb_state=/run/sluice-testbed
PATH=$PATH:/usr/sbin:/sbin

tb_say() { printf '%s\n' "$*" >&2; }
tb_die() {
  tb_say "${0##*/}: $*"
  exit 1
}

# Becomes root by sudo where it can: `tb_need_root "$0" "$@"`.
tb_need_root() {
  [ "$(id -u)" = 0 ] && return
  command -v sudo >/dev/null || tb_die "this needs root (network namespaces); run it as root"
  exec sudo --preserve-env=SLUICE_BUILD,CCACHE_DIR "$@"
}

# tb_await SECONDS WHAT COMMAND…: runs COMMAND every 20 ms until it succeeds; fails loudly at the limit.
tb_await() {
  local what=$2 limit=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || {
      tb_say "${0##*/}: gave up waiting for $what"
      return 1
    }
    read -r -t 0.02 <> <(:) || true
  done
}

tb_dead() { ! kill -0 "$1" 2>/dev/null; }

# tb_stop PID…: TERM, then KILL after 3 s. A pid that is gone is fine.
tb_stop() {
  local pid
  kill "$@" 2>/dev/null || true
  for pid in "$@"; do
    tb_await 3 "process $pid to end" tb_dead "$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null || true
  done
}

# tb_in ROLE COMMAND…: runs in that role's network namespace; other namespaces and mounts stay, so
# that bpffs is the host's (ip netns exec would give a fresh /sys).
tb_in() {
  local role=$1
  shift
  nsenter --net="/run/netns/$(tb_name "$role")" -- "$@"
}

# As tb_in, in place of this shell: for a background job whose pid is to be the program's own.
tb_exec_in() {
  exec nsenter --net="/run/netns/$(tb_name "$1")" -- "${@:2}"
}

tb_name() { printf 'slb-%s-%s' "$tb_suffix" "$1"; }

# --- life of a testbed -------------------------------------------------------------------------------

# tb_begin SUFFIX: takes the run directory and its lock, sets the traps. Once per process.
tb_begin() {
  tb_suffix=$1
  tb_run=$tb_state/$tb_suffix
  mkdir -p "$tb_state" /run/netns
  tb_sweep
  exec 9>"$tb_state/$tb_suffix.lock"
  flock -n 9 || tb_die "a testbed with the suffix $tb_suffix is running"
  rm -rf "$tb_run"
  mkdir -p "$tb_run/bpf"
  trap tb_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  mount -t bpf bpf "$tb_run/bpf" # where an lbd may keep what outlives it
}

tb_end() {
  set +e
  trap - EXIT
  trap '' INT TERM HUP
  [ -z "${tb_child:-}" ] || tb_stop "$tb_child"
  tb_remove "$tb_suffix"
  rm -f "$tb_state/$tb_suffix.lock"
}

# Stops what runs in the namespaces of a suffix and removes them. Processes in them are ours: nobody
# else knows the names.
tb_remove() {
  local file name pids
  for file in /run/netns/slb-"$1"-*; do
    [ -e "$file" ] || continue
    name=${file##*/}
    mapfile -t pids < <(ip netns pids "$name" 2>/dev/null)
    [ ${#pids[@]} = 0 ] || tb_stop "${pids[@]}"
    # What an lbd that was killed in there has left: its lock files carry the inode of the namespace.
    rm -f /run/sluice/port-"$(stat -Lc %i "$file")"-*.lock
    ip netns del "$name" 2>/dev/null
  done
  ! mountpoint -q "$tb_state/$1/bpf" || umount "$tb_state/$1/bpf"
  rm -rf "${tb_state:?}/$1"
}

# A lock file that nobody holds belongs to a run that was killed.
tb_sweep() {
  local file suffix
  for file in "$tb_state"/*.lock; do
    [ -e "$file" ] || continue
    suffix=${file##*/}
    suffix=${suffix%.lock}
    exec 8<"$file"
    if flock -n 8; then
      tb_say "testbed: removing what the killed run $suffix left"
      tb_remove "$suffix"
      rm -f "$file"
    fi
    exec 8<&-
  done
}

# tb_hold COMMAND…: runs COMMAND with the TB_ variables and returns its status. Without a command: prints the
# variables and "ready", and holds the testbed until its standard input ends or a signal comes.
tb_hold() {
  local name
  for name in "${tb_vars[@]}"; do export "${name?}"; done
  if [ $# -gt 0 ]; then
    "$@" <&0 9>&- &
    tb_wait_child $!
    return
  fi
  for name in "${tb_vars[@]}"; do printf '%s=%s\n' "$name" "${!name}"; done
  [ ! -t 0 ] || tb_say "holding; nsenter --net=/run/netns/NAME for a look, Ctrl-C removes it all"
  echo ready
  cat <&0 >/dev/null 9>&- &
  tb_wait_child $!
}

# Waits in a way that a signal ends (the trap stops the child); returns the child's status.
tb_wait_child() {
  local status=0
  tb_child=$1
  wait "$1" || status=$?
  tb_child=
  return "$status"
}

# tb_set NAME VALUE: a variable for the command that runs in the testbed.
tb_vars=()
tb_command=()
tb_set() {
  printf -v "$1" '%s' "$2"
  tb_vars+=("$1")
}

# tb_args "$@": the arguments every topology takes; leaves the command in tb_command.
tb_args() {
  tb_queues=1
  tb_redis=
  local suffix=$$
  while [ $# -gt 0 ]; do
    case $1 in
    --queues) tb_queues=${2:?--queues takes 1 or 2} && shift ;;
    --suffix) suffix=${2:?--suffix takes a word} && shift ;;
    --redis) tb_redis=1 ;;
    --)
      shift
      # shellcheck disable=SC2034  # the topology hands it to tb_hold
      tb_command=("$@")
      break
      ;;
    -h | --help)
      sed -n '/^# usage/,/^[^#]/s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) tb_extra "$1" || { tb_say "${0##*/}: unknown argument $1 (try --help)" && exit 2; } ;;
    esac
    shift
  done
  case $tb_queues in 1 | 2) ;; *) tb_say "${0##*/}: --queues takes 1 or 2" && exit 2 ;; esac
  [ -e "$tb_build/generated/bpf/testbed_pass.bpf.o" ] ||
    tb_die "not built: cmake --preset release && cmake --build --preset release (looked in $tb_build)"
  tb_begin "$suffix"
  tb_set TB_RUN "$tb_run"
  tb_set TB_QUEUES "$tb_queues"
}
tb_extra() { return 1; }

# --- namespaces and links ----------------------------------------------------------------------------

# tb_host ROLE: a namespace with lo up, strict ARP answers and no IPv6 surprises.
tb_host() {
  ip netns add "$(tb_name "$1")"
  ip -n "$(tb_name "$1")" link set dev lo up
  tb_in "$1" sysctl -q -w net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_ra=0 \
    net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  tb_set "TB_NS_${1^^}" "$(tb_name "$1")"
}

# tb_lan ROLE: a namespace that is a switch: one bridge br, no spanning tree, no netfilter on it.
tb_lan() {
  tb_host "$1"
  tb_in "$1" sysctl -q -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 \
    net.bridge.bridge-nf-call-arptables=0 2>/dev/null || true
  ip -n "$(tb_name "$1")" link add name br type bridge mcast_snooping 0
  ip -n "$(tb_name "$1")" link set dev br up
}

# tb_link HOST IF MAC PEER PEERIF: a veth pair with tb_queues queues each way, both ends up.
tb_link() {
  local host peer
  host=$(tb_name "$1")
  peer=$(tb_name "$4")
  ip -n "$host" link add name "$2" address "$3" numtxqueues "$tb_queues" numrxqueues "$tb_queues" \
    type veth peer name "$5" netns "$peer" numtxqueues "$tb_queues" numrxqueues "$tb_queues"
  ip -n "$host" link set dev "$2" up
  ip -n "$peer" link set dev "$5" up
}

# tb_plug LAN HOST IF MAC: connects HOST's interface IF to the switch; the port there is called HOST-IF.
tb_plug() {
  tb_link "$2" "$3" "$4" "$1" "$2-$3"
  ip -n "$(tb_name "$1")" link set dev "$2-$3" master br
  [ "$tb_queues" = 1 ] || {
    tb_in "$1" tc qdisc add dev "$2-$3" clsact
    tb_in "$1" tc filter add dev "$2-$3" ingress bpf direct-action \
      object-file "$tb_build/generated/bpf/testbed_pass.bpf.o" section tc
  }
}

# tb_addr HOST IF ADDRESS/LEN…
tb_addr() {
  local host=$1 dev=$2 address
  shift 2
  for address; do
    case $address in
    *:*) ip -n "$(tb_name "$host")" addr add "$address" dev "$dev" nodad ;;
    *) ip -n "$(tb_name "$host")" addr add "$address" dev "$dev" ;;
    esac
  done
}

tb_xdp() { tb_in "$1" ip link set dev "$2" xdpdrv obj "$tb_build/generated/bpf/$3.bpf.o" program "$4"; }

# tb_far_end ROLE IF: makes IF fit to be the peer of a director's port: a native program, so that XDP_TX from
# the director is not dropped, and finished checksums, since a packet of a local socket that goes on
# through XDP would arrive with half of one.
tb_far_end() {
  tb_xdp "$1" "$2" testbed_pass pass
  tb_in "$1" ethtool -K "$2" tx off >/dev/null
}

# tb_untags HOST IF LAN: HOST reads frames with and without tags, whichever they are.
tb_untags() {
  tb_in "$1" ethtool -K "$2" txvlan off rxvlan off tx off >/dev/null
  tb_in "$3" ethtool -K "$1-$2" txvlan off rxvlan off tx off >/dev/null
  tb_xdp "$1" "$2" testbed_vlan untag
  tb_xdp "$3" "$1-$2" testbed_pass pass
}

# tb_tags HOST IF VID: HOST tags all that it sends with VID (10 or 20).
tb_tags() {
  tb_in "$1" tc qdisc add dev "$2" clsact
  tb_in "$1" tc filter add dev "$2" egress bpf direct-action \
    object-file "$tb_build/generated/bpf/testbed_vlan.bpf.o" section "tc/$3"
}

# --- real servers ------------------------------------------------------------------------------------

# tb_rs_vip ROLE VIP: what DR asks of a real server; by lbctl where it can.
tb_rs_vip() {
  local lbctl=$tb_build/control/lbctl
  if [ -x "$lbctl" ] && tb_in "$1" "$lbctl" rs-setup "$2" --apply >/dev/null 2>&1; then
    return
  fi
  case $2 in
  *:*) tb_addr "$1" lo "$2/128" ;;
  *)
    tb_in "$1" sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
    tb_addr "$1" lo "$2/32"
    ;;
  esac
}

# tb_nginx ROLE: starts an nginx that answers / with the role's name and /files/… from $tb_run/www.
# Its pid goes to TB_NGINX_ROLE; `kill` it and start it again by tb_nginx_run.
tb_nginx() {
  local dir=$tb_run/$1
  mkdir -p "$dir/tmp" "$tb_run/www"
  cat >"$dir/nginx.conf" <<CONF
daemon off;
master_process off;
user root;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
  uwsgi_temp_path $dir/tmp; scgi_temp_path $dir/tmp;
  sendfile on;
  server {
    listen 0.0.0.0:80 backlog=4096;
    listen [::]:80 backlog=4096;
    listen 0.0.0.0:8080 backlog=4096;
    default_type text/plain;
    location = / { return 200 "$1\n"; }
    location /files/ { alias $tb_run/www/; }
  }
}
CONF
  tb_nginx_run "$1"
  tb_set "TB_NGINX_${1^^}" "$tb_pid"
}

# tb_nginx_run ROLE: leaves the pid in tb_pid.
tb_nginx_run() {
  tb_exec_in "$1" nginx -c "$tb_run/$1/nginx.conf" >"$tb_run/$1/nginx.out" 2>&1 </dev/null 9>&- &
  tb_pid=$!
  disown "$tb_pid"
  tb_await 5 "nginx of $1 (see $tb_run/$1/nginx.log)" tb_listens "$1" 80 || return 1
}

tb_redis() {
  [ -n "$tb_redis" ] || return 0
  mkdir -p "$tb_run/$1"
  tb_exec_in "$1" redis-server --bind 0.0.0.0 :: --port 6379 --save '' --appendonly no --protected-mode no \
    --daemonize no --dir "$tb_run/$1" >"$tb_run/$1/redis.log" 2>&1 </dev/null 9>&- &
  tb_set "TB_REDIS_${1^^}" "$!"
  disown "$!"
  tb_await 5 "redis of $1 (see $tb_run/$1/redis.log)" tb_listens "$1" 6379
}

# tb_listens ROLE PORT: whether a TCP socket of that namespace listens on PORT.
tb_listens() { tb_in "$1" ss -Hltn "sport = :$2" | grep -q .; }
