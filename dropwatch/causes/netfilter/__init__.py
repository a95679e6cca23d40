"""What firewalls refuse: rules, policies, connection tracking, queues and hooks."""
