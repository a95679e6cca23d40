"""The words of nft's own language: what is called so cannot be named in a command, since nft has no way to quote.

Such names can be given by programs, and in JSON. Of nftables 1.0.6, and what later versions add.
"""

_WORDS = """
accept add ah all and arp auto-merge bridge cgroup chain comment comp constant continue counter
cpu create ct day dccp define delete describe destroy device devices dnat drop dst dup dynamic
ecn element elements eq esp ether exists expires export exthdr fib flags flow flowtable flush
frag fwd gc-interval ge get goto gt handle hbh hook hour ibridgename ibriport ibrname ibrpvid
ibrvproto icmp icmpv6 igmp iif iifgroup iifname iiftype import include index inet insert
interval ip ip6 ipsec jhash jump le limit list log lshift lt map mark masquerade meta meter mh
missing monitor ne netdev nftrace not notrack numgen obridgename obriport obrname offload oif
oifgroup oifname oiftype or osf pkttype policy position priority queue quota random redefine
redirect reject rename replace reset return rshift rt rt0 rt2 rtclassid rule ruleset sctp sdif
sdifname secmark set size skgid skuid snat socket srh symhash synproxy table tcp th time timeout
tproxy type typeof udp udplite undefine update vlan vmap xor xt
"""
NFT_WORDS = frozenset(_WORDS.split())
