-- Products :since to :until, the last left out, with all that belongs to one.

INSERT INTO products (id, slug, name, description, price, position)
SELECT md5('product' || n)::uuid, 'product-' || n, (ARRAY['Латте', 'Раф', 'Капучино', 'Чай', 'Какао'])[1 + n % 5] || ' ' || n, 'Напиток номер ' || n || ' из меню', 100 + (n * 37) % 700, n % 50
FROM generate_series (:since, :until - 1) n;
INSERT INTO product_categories (product_id, category_id, position)
SELECT md5('product' || n)::uuid, md5('category' || (n + k * 7) % 20)::uuid, n
FROM generate_series (:since, :until - 1) n, generate_series(0, 1) k;
INSERT INTO sizes (id, product_id, name, volume_ml, price_delta, is_default, position)
SELECT md5('size' || n || '-' || k)::uuid, md5('product' || n)::uuid, (ARRAY['S', 'M', 'L'])[k + 1], 250 + k * 100, k * 40, k = 0, k
FROM generate_series (:since, :until - 1) n, generate_series(0, 2) k;
INSERT INTO product_modifier_groups (product_id, group_id, position)
SELECT md5('product' || n)::uuid, md5('group' || (n + k * 3) % 10)::uuid, k
FROM generate_series (:since, :until - 1) n, generate_series(0, 2) k;
INSERT INTO product_ingredients (product_id, ingredient_id, position)
SELECT md5('product' || n)::uuid, md5('ingredient' || (n + k * 11) % 40)::uuid, k
FROM generate_series (:since, :until - 1) n, generate_series(0, 1) k;
INSERT INTO product_images (id, product_id, key, width, height, widths)
SELECT md5('image' || n)::uuid, md5('product' || n)::uuid, md5('image' || n), 960, 960, '{320,640,960}'
FROM generate_series (:since, :until - 1) n;
