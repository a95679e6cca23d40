"""What the host is asked about its firewalls and their neighbours."""
