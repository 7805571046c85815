"""The demo's second act: a day in minutes, on two fleets, by a forecast and by a reactive HPA."""
