"""Neighbours: ARP and IPv6 neighbour discovery, the way to the next hop's hardware address."""
