#!/usr/bin/env bash
# The container's image, built as packaging/container/Containerfile says and run as compose.yaml does: never root, without a capability,
# its configuration mounted, its state in a volume; used, stopped, started again on what it kept.
#
# By buildah, without a daemon and without namespaces of its own (its isolation "chroot"), so that it can be done within a container. The
# base image is a minimal Debian from a mirror below /var/cache/gatepost-container, and not the one of a registry. What only an engine
# does is not tried: mapped ports, limits, the read-only root. Needs root, Debian, target/release/gatepost, and a mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-container: must be root (debootstrap, buildah)' >&2; exit 1; }

say() { printf '%s test-container: %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { printf 'test-container: %s\n' "$*" >&2; tail -n 30 "$work"/*log >&2 2> /dev/null; exit 1; }
until_true() { # WHAT COMMAND...: within half a minute
  local what=$1 n=0; shift
  until "$@" > /dev/null 2>&1; do n=$((n + 1)); [ $n -lt 300 ] || die "never came true: $what"; sleep 0.1; done
}

suite=$(sed -n 's/^FROM .*:\([a-z]*\)-slim$/\1/p' packaging/container/Containerfile)
image=$(sed -n 's/^FROM //p' packaging/container/Containerfile)
# Another than the image's own number, so that its processes are told from those of other tests here.
user=62180
cache=/var/cache/gatepost-container
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
work=$(mktemp -d "$cache/work-XXXXXX")
sink=
image_tool() { buildah --storage-driver vfs --root "$work/images" --runroot "$work/runs" "$@" 9>&-; }
processes() { pgrep -u "$user" || true; }
finish() {
  for pid in $sink $(processes); do kill -KILL "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  image_tool rm --all > /dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

missing=$(for package in buildah crun debootstrap; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || echo "$package"
done)
if [ -n "$missing" ]; then
  say "installing" $missing
  # shellcheck disable=SC2086 # a list of words
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

if [ ! -e "$cache/$suite/.whole" ]; then
  say "a minimal $suite in $cache"
  mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2> /dev/null || true; } |
    awk '$1 == "URIs:" { mirror = mirror ? mirror : $2 } /^deb / { sub(/^deb (\[[^]]*\] )?/, ""); mirror = mirror ? mirror : $1 } END { print mirror }')
  rm -rf "${cache:?}/$suite"
  debootstrap --variant=minbase "$suite" "$cache/$suite" "$mirror" > "$work/debootstrap.log" 2>&1 || die 'debootstrap failed'
  touch "$cache/$suite/.whole"
fi

say "the image, from a $suite of the mirror in the place of $image"
base=$(image_tool from scratch)
image_tool add --quiet "$base" "$cache/$suite" / > /dev/null
image_tool commit --quiet --rm "$base" "$image" > /dev/null
cp -r packaging/container "$work/context"
GATEPOST_PACKAGE_FAST=1 tools/package.sh --no-build --output "$work/context" > "$work/package.log" 2>&1 || die 'no package'
image_tool bud --format docker --isolation chroot --pull-never --build-arg "GATEPOST_UID=$user" --tag gatepost "$work/context" > "$work/build.log" 2>&1 || die 'the image is not built'
told() { image_tool inspect --type image --format "{{$1}}" gatepost; }
# As what the Containerfile says beyond OCI's own form: HEALTHCHECK.
told .Docker.Config.Healthcheck | grep -q 'gatepost status' || die "its health is looked at by $(told .Docker.Config.Healthcheck)"
[ "$(told .OCIv1.Config.User)" = "$user:$user" ] || die "its user is $(told .OCIv1.Config.User)"
[ "$(told .OCIv1.Config.Entrypoint) $(told .OCIv1.Config.Cmd)" = '[/usr/bin/gatepost] [serve]' ] || die 'it runs something else'

say 'configured as compose.yaml says, started, used'
read -r port upstream < <(python3 tests/package/mail.py ports 2)
: > "$work/arrived"
python3 tests/package/mail.py sink "$upstream" "$work/arrived" 9>&- & sink=$!
mkdir -p "$work"/{etc,state,run}
cat > "$work/etc/gatepost.toml" << END
version = 1
state_directory = "/var/lib/gatepost"
runtime_directory = "/run/gatepost"
hostname = "gate.container.example"
[[listener]]
name = "submission"
address = ["127.0.0.1:$port"]
protocol = "smtp"
tls = "none"
[[upstream]]
name = "sink"
kind = "smtp"
hosts = ["127.0.0.1:$upstream"]
tls = "none"
[[route]]
to = "*"
via = ["sink"]
END
chmod 400 "$work/etc/gatepost.toml"
chmod 700 "$work/run"
chown -R "$user:$user" "$work"/{etc,state,run}
chmod 755 "$work"
# As compose.yaml has it, or what there is here: the default is fewer than the service needs.
files=$(ulimit -Hn)
[ "$files" != unlimited ] && [ "$files" -lt 65536 ] || files=65536
container=$(image_tool from --pull-never --ulimit "nofile=$files:$files" gatepost)
in_container() { # COMMAND...: what `compose exec` does
  image_tool run --isolation chroot --cap-drop all --volume "$work/etc:/etc/gatepost:ro" \
    --volume "$work/state:/var/lib/gatepost" --volume "$work/run:/run/gatepost" "$container" -- "$@" < /dev/null
}
start() {
  : > "$work/service.log"
  in_container /usr/bin/gatepost serve 2> "$work/service.log" > /dev/null &
  until_true 'it serves' grep -q serving "$work/service.log"
}
use() { # SUBJECT
  python3 tests/package/mail.py send "$port" "$secret" "$1" none || die "a message is not taken: $1"
  until_true "the message arrives: $1" grep -qx "$1" "$work/arrived"
}
start
in_container gatepost status > "$work/status.log" || die 'its HEALTHCHECK fails'
secret=$(in_container gatepost credential add app --sender @example.net | tail -n 1)
use 'first'
until_true 'the audit log is sound' in_container gatepost audit verify
[ "$(processes | wc -l)" -gt 4 ] || die 'its processes are not those of its user'
for pid in $(processes); do
  grep -q '^CapEff:[[:space:]]*0*$' "/proc/$pid/status" || die "process $pid has capabilities"
done

say 'stopped as the engine stops it, and started on what it kept'
kill -TERM "$(pgrep -u "$user" -o -x gatepost)"
until_true 'it ends' eval '[ -z "$(processes)" ]'
start
use 'second'
until_true 'the audit log is sound' in_container gatepost audit verify
say 'the image holds'
