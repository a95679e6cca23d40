"""pcap-filter(7) expressions: compiled by libpcap, understood as far as carriers need it, and run on bytes."""
