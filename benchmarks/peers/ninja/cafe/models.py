"""The tables, as Crema's migrations made them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Table(models.Model):
    id = models.UUIDField(primary_key=True)

    class Meta:
        abstract = True
        managed = False


class Category(Table):
    slug = models.TextField()
    name = models.TextField()

    class Meta(Table.Meta):
        db_table = "categories"


class Ingredient(Table):
    name = models.TextField()

    class Meta(Table.Meta):
        db_table = "ingredients"


class ModifierGroup(Table):
    name = models.TextField()
    min_choices = models.SmallIntegerField()
    max_choices = models.SmallIntegerField()
    free_quantity = models.SmallIntegerField()

    class Meta(Table.Meta):
        db_table = "modifier_groups"


class Option(Table):
    group = models.ForeignKey(ModifierGroup, models.CASCADE, related_name="options")
    name = models.TextField()
    price_delta = models.DecimalField(max_digits=16, decimal_places=2)
    max_quantity = models.SmallIntegerField()
    is_default = models.BooleanField()
    is_active = models.BooleanField()
    position = models.IntegerField()
    allergens = ArrayField(models.TextField())
    ingredients = models.ManyToManyField(Ingredient, through="OptionIngredient")

    class Meta(Table.Meta):
        db_table = "options"
        ordering = ["position", "id"]


class OptionIngredient(models.Model):
    pk = models.CompositePrimaryKey("option_id", "ingredient_id")
    option = models.ForeignKey(Option, models.CASCADE)
    ingredient = models.ForeignKey(Ingredient, models.CASCADE)

    class Meta(Table.Meta):
        abstract = False
        db_table = "option_ingredients"


class Product(Table):
    slug = models.TextField()
    name = models.TextField()
    description = models.TextField()
    price = models.DecimalField(max_digits=16, decimal_places=2)
    is_active = models.BooleanField()
    position = models.IntegerField()
    allergens = ArrayField(models.TextField())
    nutrition = models.JSONField(null=True)
    preparation_seconds = models.SmallIntegerField()
    archived_at = models.DateTimeField(null=True)
    categories = models.ManyToManyField(Category, through="ProductCategory")
    modifier_groups = models.ManyToManyField(ModifierGroup, through="ProductModifierGroup")
    ingredients = models.ManyToManyField(Ingredient, through="ProductIngredient")

    class Meta(Table.Meta):
        db_table = "products"


class ProductCategory(models.Model):
    pk = models.CompositePrimaryKey("product_id", "category_id")
    product = models.ForeignKey(Product, models.CASCADE)
    category = models.ForeignKey(Category, models.CASCADE)

    class Meta(Table.Meta):
        abstract = False
        db_table = "product_categories"


class ProductModifierGroup(models.Model):
    pk = models.CompositePrimaryKey("product_id", "group_id")
    product = models.ForeignKey(Product, models.CASCADE)
    group = models.ForeignKey(ModifierGroup, models.CASCADE)
    position = models.IntegerField()

    class Meta(Table.Meta):
        abstract = False
        db_table = "product_modifier_groups"


class ProductIngredient(models.Model):
    pk = models.CompositePrimaryKey("product_id", "ingredient_id")
    product = models.ForeignKey(Product, models.CASCADE)
    ingredient = models.ForeignKey(Ingredient, models.CASCADE)
    position = models.IntegerField()

    class Meta(Table.Meta):
        abstract = False
        db_table = "product_ingredients"


class Size(Table):
    product = models.ForeignKey(Product, models.CASCADE, related_name="sizes")
    name = models.TextField()
    volume_ml = models.IntegerField(null=True)
    price_delta = models.DecimalField(max_digits=16, decimal_places=2)
    is_default = models.BooleanField()
    position = models.IntegerField()

    class Meta(Table.Meta):
        db_table = "sizes"
        ordering = ["position", "id"]


class ProductImage(Table):
    product = models.ForeignKey(Product, models.CASCADE, related_name="images")
    key = models.TextField()
    alt = models.TextField()
    width = models.IntegerField()
    height = models.IntegerField()
    widths = ArrayField(models.SmallIntegerField())
    position = models.IntegerField()

    class Meta(Table.Meta):
        db_table = "product_images"
        ordering = ["position", "id"]

    @property
    def urls(self):
        return {str(width): f"/media/{self.key}-{width}.webp" for width in self.widths}
