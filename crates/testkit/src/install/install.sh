# Installs Debian packages without starting their services: install.sh POLICY PACKAGE...
# Run as root by install.rs. The policy is put in place only if there is none, and the trap takes it away on
# every way out; a signal is acted upon when apt-get has ended, because dpkg must not be interrupted.
set -u
policy=$1
shift
placed=
tidy() {
    if [ -n "$placed" ]; then rm -f "$policy"; fi
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# noclobber creates the file or fails: a policy of somebody else is never overwritten.
if (set -C && printf '#!/bin/sh\nexit 101\n' >"$policy") 2>/dev/null; then
    placed=yes
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
get() {
    apt-get -o DPkg::Lock::Timeout=300 "$@"
}
fresh=
for package in "$@"; do
    if [ -z "$fresh" ] && ! apt-cache show "$package" >/dev/null 2>&1; then
        get update || exit 1
        fresh=yes
    fi
done
if get install --yes --no-install-recommends "$@"; then
    exit 0
fi
# A package list that is old names files that the mirror no longer has.
if [ -z "$fresh" ]; then
    get update && get install --yes --no-install-recommends "$@" && exit 0
fi
exit 1
