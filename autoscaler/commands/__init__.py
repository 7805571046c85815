"""What the command line runs besides the service itself: one file a command."""
