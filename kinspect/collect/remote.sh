# What kinspect runs on a node: it reads, and changes nothing. POSIX sh; comes by standard input.
#
#   sh -s -- NONCE SUDO CONNTRACK [INTERVAL]
#
# NONCE      marks the sections; made anew by the caller, so that no output can imitate a mark
# SUDO       yes, no, or auto: only where this user is not root
# CONNTRACK  how many connections of each family to bring, 0 for none
# INTERVAL   bring the rules alone, again and again, with so many seconds between, until the connection ends
#
# Each command's output goes out as it comes, between marks; its standard error follows in a
# section NAME.stderr. The mark "done" comes last: without it the connection was cut.
nonce=$1 sudo=$2 connections=$3 interval=${4:-0}

LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH

root=
if [ "$sudo" = yes ] || { [ "$sudo" = auto ] && [ "$(id -u)" != 0 ]; }; then
    root='sudo -n'
fi

have() {
    command -v "$1" >/dev/null 2>&1
}

# section NAME COMMAND...: runs the command; nothing is kept on the node.
section() {
    name=$1
    shift
    printf '\n@%s begin %s %s\n' "$nonce" "$name" "$*"
    said=$("$@" 2>&1 >&3 </dev/null)
    status=$?
    printf '\n@%s end %s %s\n' "$nonce" "$name" "$status"
    if [ -n "$said" ]; then
        printf '\n@%s begin %s.stderr\n%s\n@%s end %s.stderr 0\n' "$nonce" "$name" "$said" "$nonce" "$name"
    fi
}

# Each as sysctl prints it, whose keys have dots for slashes, and a slash for a dot in an interface's name.
switches() {
    (
        cd /proc/sys || exit
        grep -s . /dev/null net/ipv4/ip_forward net/ipv6/conf/all/forwarding net/bridge/bridge-nf-call-iptables \
            net/bridge/bridge-nf-call-ip6tables net/ipv6/conf/*/force_forwarding \
            net/ipv4/conf/*/route_localnet net/ipv4/conf/*/rp_filter net/ipv4/conf/*/accept_local \
            net/ipv4/conf/*/src_valid_mark net/ipv4/conf/*/send_redirects net/ipv4/conf/*/forwarding \
            net/netfilter/nf_conntrack_*
    ) | tr ./ /. | sed 's/:\([^:]*\)$/ = \1/'
    return 0
}

# kube-proxy's own word, from its status port.
proxy_mode() {
    if have curl; then
        curl -s -f --noproxy '*' -m 2 http://127.0.0.1:10249/proxyMode
    elif have wget; then
        wget -q -O - -T 2 http://127.0.0.1:10249/proxyMode
    fi
}

# Which tools that need root there are, for a line of sudoers that allows just them.
root_tools() {
    for tool in iptables-save ip6tables-save iptables-legacy-save iptables-nft-save ip6tables-legacy-save \
        ip6tables-nft-save ipset nft conntrack; do
        command -v "$tool"
    done
    return 0
}

# connections COMMAND...: its entries, up to the number asked for; a last line says if there were more.
# The status is the command's, not that of the end of the pipe: a table that may not be read is not empty.
connections() {
    more=$((connections + 1))
    exec 4>&1
    status=$({ { "$@"; echo $? >&5; } | sed -e "$more{" -e "s/.*/# cut after $connections entries/" -e q -e "}" >&4; } 5>&1)
    [ "$status" = 141 ] && status=0 # SIGPIPE: it had more to say than was asked for
    return "$status"
}

first_lines() {
    lines=$1
    shift
    "$@" | head -n "$lines"
}

dumps() {
    printf '\n@%s begin id\n%s\n@%s end id 0\n' "$nonce" "$(id -un)" "$nonce"
    [ -n "$root" ] && section tools root_tools
    for family in iptables ip6tables; do
        if have $family-legacy-save && have $family-nft-save; then
            section $family-legacy-save.txt $root $family-legacy-save -c
            section $family-nft-save.txt $root $family-nft-save -c
        elif have $family-save; then
            section $family-save.txt $root $family-save -c
        fi
    done
}

sections() {
    dumps
    have iptables && section iptables-version.txt iptables --version
    have ipset && section ipset-save.txt $root ipset save
    if have ip; then
        section ip-addr.json ip -d -j addr show
        section ip-route.json ip -j route show table all
        section ip-6-route.json ip -6 -j route show table all
        section ip-rule.json ip -j rule show
        section ip-6-rule.json ip -6 -j rule show
        section ip-nexthop.json ip -j nexthop show
    fi
    section sysctl.txt switches
    section proxy-mode.txt proxy_mode
    [ -r /proc/net/ip_vs ] && section ip-vs.txt first_lines 100 cat /proc/net/ip_vs
    have nft && section nft-tables.txt $root nft list tables
    if [ "$connections" != 0 ]; then
        if have conntrack; then
            section conntrack.txt connections $root conntrack -L -f ipv4
            section conntrack-6.txt connections $root conntrack -L -f ipv6
        elif [ -e /proc/net/nf_conntrack ]; then
            section conntrack.txt connections $root cat /proc/net/nf_conntrack
        fi
    fi
    printf '\n@%s done\n' "$nonce"
}

if [ "$interval" != 0 ]; then
    # Each is a whole stream of its own. Nobody reads it any more: the write fails, and that ends it.
    while printf '@%s plain\n' "$nonce" && dumps 3>&1 && printf '\n@%s done\n' "$nonce"; do
        sleep "$interval" || exit
    done
    exit 1
fi

if have gzip; then
    printf '@%s gzip\n' "$nonce"
    { sections 3>&1; } | gzip -1
else
    printf '@%s plain\n' "$nonce"
    sections 3>&1
fi
