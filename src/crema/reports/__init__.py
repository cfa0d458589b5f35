"""What was sold: sums of orders, by shop."""
