"""The questions that people ask of the journal: how things stand, what was done and why, how often what worked."""
