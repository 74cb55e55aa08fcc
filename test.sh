#!/usr/bin/env bash
# The one command that passes the tests: it sees to RabbitMQ, then checks format, lints, tests, documentation and examples.
# Needs Rust and a C compiler. RabbitMQ comes from the distribution's packages, elsewhere from Docker; AMQP_URL names another.
#
# No RabbitMQ of yours is touched: the tests start nodes of their own, on free ports, in a temporary folder.
set -euo pipefail
# Each phase gets its own process group, so that a signal can end it with all that it started.
set -m
cd "$(dirname "$0")"

policy=/usr/sbin/policy-rc.d
saved_policy=
made_policy=
docker_started=
phase_group=
folder=

main() {
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    need cargo 'Rust is missing: install it from https://rustup.rs'
    need cc 'a C compiler is missing: on Debian or Ubuntu, apt-get install gcc libc6-dev'
    provide_rabbitmq
    folder=$(mktemp -d "${TMPDIR:-/tmp}/bootstep-test-XXXXXX")
    check_everything
    say 'all passed'
}

check_everything() {
    phase 'format' cargo fmt --all --check
    # Without features there is less of the library, and nothing else that differs.
    phase 'lints, no features' cargo clippy -- -D warnings
    phase 'lints, all features' cargo clippy --workspace --exclude bootstep-peers --all-targets --all-features -- -D warnings
    # Most tests wait for a broker most of the time: twice as many threads as cores keep those busy.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(getconf _NPROCESSORS_ONLN)))}
    # The nodes of the tests live in this folder, where the end can see that none is left.
    phase 'tests' env TMPDIR="$folder" cargo test --all-features
    phase 'tests of TLS' env TMPDIR="$folder" cargo test -p bootstep-tls-tests
    phase 'tests of the database example' cargo test -p bootstep-example-database
    phase 'tests of faults' env TMPDIR="$folder" cargo test -p bootstep-faults
    phase 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace --exclude bootstep-peers --all-features
    for example in examples/*.rs; do
        [ -e "$example" ] || continue
        example=$(basename "$example" .rs)
        # Without AMQP_URL an example runs on the broker in its own process.
        arguments=()
        # One with a command line waits to be told what to do.
        if grep -q 'cli::main' "examples/$example.rs"; then arguments=(-- --help); fi
        phase "example $example" env -u AMQP_URL cargo run --quiet --all-features --example "$example" ${arguments[@]+"${arguments[@]}"}
    done
}

phase() {
    local name=$1 begin=$SECONDS status=0
    shift
    say "$name"
    "$@" </dev/null &
    phase_group=$!
    wait "$phase_group" || status=$?
    phase_group=
    [ "$status" -eq 0 ] || die "$name failed (exit code $status) after $((SECONDS - begin)) s"
    say "$name: passed in $((SECONDS - begin)) s"
}

# --- RabbitMQ ---

provide_rabbitmq() {
    if [ -n "${AMQP_URL:-}" ]; then
        say 'RabbitMQ: the one at AMQP_URL, in virtual hosts of the tests; tests that break it use a node of their own'
    fi
    if has_rabbitmq; then
        return
    elif has apt-get; then
        install_rabbitmq
    elif [ -n "${AMQP_URL:-}" ]; then
        without_private_nodes
    elif has docker && docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
        start_docker
    else
        die 'RabbitMQ is missing, and there is neither apt-get nor a running Docker with "docker compose": install RabbitMQ or start Docker'
    fi
}

# Nothing is skipped: the tests that break the broker fail and say why.
without_private_nodes() {
    export BOOTSTEP_TEST_PRIVATE_NODE=unavailable
    say 'RabbitMQ is not installed on this machine: tests that break it need that, and fail without'
}

has_rabbitmq() {
    has rabbitmq-server || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || [ -x /usr/sbin/rabbitmq-server ]
}

# In the foreground, unlike a phase: sudo may ask for a password.
install_rabbitmq() {
    [ "$(id -u)" -eq 0 ] || need sudo "RabbitMQ is missing; as root: apt-get install --no-install-recommends rabbitmq-server"
    [ "${CI:-}" = true ] || ask 'RabbitMQ is missing. Install the package rabbitmq-server, without starting it now?'
    local begin=$SECONDS
    say 'RabbitMQ: installing the package rabbitmq-server'
    block_autostart
    as_root apt-get update -qq || die 'apt-get could not fetch its lists'
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server </dev/null ||
        die 'apt-get could not install rabbitmq-server: install RabbitMQ yourself, or set AMQP_URL'
    allow_autostart
    has_rabbitmq || die 'the package rabbitmq-server is installed, but it has no rabbitmq-server where this script looks'
    say "RabbitMQ: installed in $((SECONDS - begin)) s"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

ask() {
    [ -t 0 ] || die 'RabbitMQ is missing: run this in a terminal to be asked, or with CI=true to have it installed'
    local answer
    read -r -p "$1 [y/N] " answer
    case $answer in
        y | Y | yes) ;;
        *) die 'not installed: install RabbitMQ yourself, or set AMQP_URL' ;;
    esac
}

# Debian starts a service as it installs it, unless this program says 101; see /usr/share/doc/init-system-helpers.
block_autostart() {
    local answer=0
    if [ -e "$policy" ]; then
        "$policy" rabbitmq-server start >/dev/null 2>&1 || answer=$?
        [ "$answer" -ne 101 ] || return 0
        saved_policy=$policy.before-bootstep-tests
        as_root mv "$policy" "$saved_policy"
    fi
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_autostart() {
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    made_policy=
    [ -z "$saved_policy" ] || as_root mv "$saved_policy" "$policy"
    saved_policy=
}

start_docker() {
    if [ -z "$(docker compose ps --quiet rabbitmq)" ]; then
        docker_started=yes
    fi
    phase 'RabbitMQ: docker compose' docker compose up -d --wait
    export AMQP_URL=amqp://guest:guest@127.0.0.1:5672
    without_private_nodes
}

# --- the end ---

clean_up() {
    local status=$?
    trap '' INT TERM HUP
    stop_phase
    allow_autostart
    [ -z "$docker_started" ] || docker compose down --volumes || status=1
    remove_folder || status=1
    exit "$status"
}

stop_phase() {
    [ -n "$phase_group" ] || return 0
    kill -TERM -- "-$phase_group" 2>/dev/null || true
    wait "$phase_group" 2>/dev/null || true
}

# A node ends with the test process that started it, and a moment later its folder is gone.
remove_folder() {
    [ -n "$folder" ] || return 0
    local tries=0
    while compgen -G "$folder/bootstep-node-*" >/dev/null && [ $tries -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    if compgen -G "$folder/bootstep-node-*" >/dev/null; then
        say "a RabbitMQ node of the tests is left behind in $folder"
        return 1
    fi
    rm -rf -- "$folder"
}

# --- words ---

has() { command -v "$1" >/dev/null 2>&1; }
need() { has "$1" || die "$2"; }
say() { printf '== %s\n' "$*"; }
die() {
    printf 'test.sh: %s\n' "$*" >&2
    exit 1
}

main "$@"
