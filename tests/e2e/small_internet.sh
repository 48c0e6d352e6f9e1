#!/usr/bin/env bash
# small_internet.sh DIRECTORY COMMAND…: runs COMMAND in a network namespace that holds an internet of its own, all of it on
# loopback: no interface leads anywhere. DIRECTORY, which must exist, takes its files: ca.pem, logs.
#
#   44.128.0.1    the name server (dnsmasq), which /etc/resolv.conf names
#   44.128.0.10   pypi.test and registry.test: web servers, HTTP on 80 and TLS on 443
#   44.128.0.66   evil.test: the same
#   far.test leads to 44.129.0.2, which a test may make
#   rebind.test leads to 169.254.169.254, local.test to 127.0.0.1, private.test to 10.0.0.5
#   what lies below moving.test is what the test writes to DIRECTORY/zone (name_server.py, at 44.128.0.2)
#   alias.test is an alias of pypi.test; late.test is refused by the server, slow.test is nobody's address
# The servers end with COMMAND; the namespace, with its last process.
set -euo pipefail

dir=$1
shift
if [[ ${SMALL_INTERNET:-} != inside ]]; then
    export SMALL_INTERNET=inside
    if ((EUID == 0)); then exec unshare --net --mount -- "$BASH" "${BASH_SOURCE[0]}" "$dir" "$@"; fi
    exec unshare --user --map-current-user --keep-caps --net --mount -- "$BASH" "${BASH_SOURCE[0]}" "$dir" "$@"
fi
unset SMALL_INTERNET
PATH=$PATH:/usr/sbin:/sbin

ip link set lo up
for address in 44.128.0.1 44.128.0.2 44.128.0.10 44.128.0.66 10.0.0.5 169.254.169.254; do ip address add "$address/32" dev lo; done
printf 'nameserver 44.128.0.1\n' >"$dir/resolv.conf"
mount --bind "$dir/resolv.conf" /etc/resolv.conf

dnsmasq --conf-file=/dev/null --no-hosts --no-resolv --no-daemon --bind-interfaces --listen-address=44.128.0.1 \
    --pid-file= --log-facility="$dir/dns.log" --log-queries --local-ttl=60 --cache-size=0 \
    --address=/pypi.test/44.128.0.10 --address=/registry.test/44.128.0.10 --address=/late.test/44.128.0.10 \
    --address=/evil.test/44.128.0.66 --address=/far.test/44.129.0.2 --address=/rebind.test/169.254.169.254 --address=/local.test/127.0.0.1 \
    --address=/private.test/10.0.0.5 --cname=alias.test,real.test --host-record=real.test,44.128.0.10 \
    --server=/moving.test/44.128.0.2 --address=/test/ </dev/null >"$dir/dnsmasq.log" 2>&1 &
servers=$!
python3 "$(dirname "${BASH_SOURCE[0]}")/name_server.py" "$dir" 44.128.0.2 </dev/null >"$dir/name_server.log" 2>&1 &
servers+=" $!"
python3 "$(dirname "${BASH_SOURCE[0]}")/web_server.py" "$dir" 44.128.0.10 44.128.0.66 10.0.0.5 169.254.169.254 127.0.0.1 \
    </dev/null >"$dir/web.log" 2>&1 &
servers+=" $!"
# shellcheck disable=SC2064 # those that run now
trap "kill $servers" EXIT

ready() { [[ -e $dir/ready && -e $dir/zone.log ]] && (exec 3<>/dev/tcp/44.128.0.1/53) 2>/dev/null; }
for ((i = 0; i < 500; i++)); do
    ready && break
    sleep 0.02
done
ready || { echo "the small internet does not start:" && cat "$dir"/*.log && exit 1; } >&2

# COMMAND has what its account has, and nothing of what made the namespace.
if ((EUID == 0)); then "$@"; else setpriv --inh-caps=-all --ambient-caps=-all -- "$@"; fi
