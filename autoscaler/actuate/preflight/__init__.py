"""What must be so before the autoscaler can do its work, checked without changing anything."""
