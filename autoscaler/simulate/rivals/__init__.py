"""What others do, as controllers that see what ours sees: rivals to be measured against."""
