"""How much demand is to come within the lead time. Pure: numbers in, numbers out."""
