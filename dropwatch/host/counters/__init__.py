"""What NIC, driver, queues and protocols count as lost."""
