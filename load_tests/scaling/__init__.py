"""Does the autoscaler keep its promises? Real and synthetic weeks against every tuned rival."""
