"""What decides where a router sends what is not plain unicast of IP: labels, multicast groups, segments."""
