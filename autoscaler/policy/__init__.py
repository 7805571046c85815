"""What an operator asks of the autoscaler, parsed once into frozen values."""
