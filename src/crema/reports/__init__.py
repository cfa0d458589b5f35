"""Reports of sales: sums of orders by shop."""
