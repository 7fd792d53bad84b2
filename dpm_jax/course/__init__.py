"""The course: pages that move without a server, every number of them from the laboratory."""
