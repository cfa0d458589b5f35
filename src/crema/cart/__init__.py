"""One open cart a person, always priced afresh."""
