"""A fleet in virtual time: plant, demand, rivals and the reports on them. Pure; files at the rim."""
