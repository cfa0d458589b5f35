"""The menu: categories, products, sizes, modifier groups, ingredients and pictures."""
