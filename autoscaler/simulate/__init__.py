"""A fleet in virtual time: plant, demand, rivals and reports. Pure; files are read at the rim."""
