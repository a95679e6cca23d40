"""Tunnels as they are configured: VXLAN, GENEVE, GRE, IP in IP, WireGuard."""
