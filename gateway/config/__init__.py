"""What the operator says: the EndpointPickerConfig and the process's flags, as frozen values."""
