"""One node pool brought to its size: what was read, what is remembered, what to do next."""
