"""One gateway in several processes: a supervisor, a collector, and workers that pick."""
