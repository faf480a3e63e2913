"""Two or more hosts in network namespaces, and scenarios played on them."""
