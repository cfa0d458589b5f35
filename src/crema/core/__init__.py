"""What every feature uses: errors, money, names, pages. It imports the standard library only."""
