"""The plugins an EndpointPickerConfig may name; ``catalog`` lists them all."""
