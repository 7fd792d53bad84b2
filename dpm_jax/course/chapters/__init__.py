"""One file for each chapter: what the laboratory finds, laid out as demonstrations."""
