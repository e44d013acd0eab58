# What tests/run and benches/run share: saying things, installing packages, and a RabbitMQ at AMQP_URL. To be sourced by bash.
#
# Ends the caller with 2 if something is missing that it can't install.

export AMQP_URL="${AMQP_URL:-amqp://guest:guest@127.0.0.1:5672/%2f}"

say() { printf '\n== %s\n' "$*"; }
missing() { printf '%s: %s\n' "$0" "$*" >&2; exit 2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else missing "needs root for: $*"
    fi
}

apt_install() {
    command -v apt-get >/dev/null || missing "please install: $*"
    say "installing $*"
    as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" \
        || missing "apt-get could not install: $*"
}

# host:port of an AMQP URL.
broker_address() {
    local rest="${AMQP_URL#*://}"
    rest="${rest##*@}" rest="${rest%%/*}"
    case "$rest" in *:*) printf '%s' "$rest" ;; *) printf '%s:5672' "$rest" ;; esac
}

broker_answers() {
    local address; address="$(broker_address)"
    (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null
}

start_broker() {
    case "$(broker_address)" in
        127.0.0.1:* | localhost:*) ;;
        *) missing "no RabbitMQ answers at AMQP_URL ($(broker_address))" ;;
    esac
    command -v rabbitmq-server >/dev/null || [ -x /usr/sbin/rabbitmq-server ] || apt_install rabbitmq-server
    broker_answers && return
    say "starting RabbitMQ"
    if [ -d /run/systemd/system ]; then as_root systemctl start rabbitmq-server
    else as_root env PATH="$PATH:/usr/sbin" rabbitmq-server -detached
    fi
    for _ in $(seq 120); do
        broker_answers && return
        sleep 0.5
    done
    missing "RabbitMQ was started but does not answer at $(broker_address)"
}
