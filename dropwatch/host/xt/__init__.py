"""The legacy tables of iptables, ip6tables, arptables and ebtables."""
