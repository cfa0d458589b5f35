"""Files that people send: read within limits, pictures made anew, kept in the store, swept when nobody names them."""
