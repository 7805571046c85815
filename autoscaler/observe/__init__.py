"""What the controller knows of demand and supply at one instant."""
