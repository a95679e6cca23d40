"""What dies on its way into a tunnel, or when it comes out of one."""
