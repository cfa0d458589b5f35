-- A chain with a history: the same at every run. :products, :users and :orders say how many.

INSERT INTO categories (id, slug, name, position)
SELECT md5('category' || n)::uuid, 'category-' || n, 'Раздел ' || n, n
FROM generate_series (0, 19) n;
INSERT INTO ingredients (id, name)
SELECT md5('ingredient' || n)::uuid, 'Ингредиент ' || n
FROM generate_series (0, 39) n;
INSERT INTO modifier_groups (id, name, min_choices, max_choices)
SELECT md5('group' || n)::uuid, 'Группа ' || n, 0, 3
FROM generate_series (0, 9) n;
INSERT INTO options (id, group_id, name, price_delta, position)
SELECT md5('option' || g || '-' || n)::uuid, md5('group' || g)::uuid, 'Добавка ' || g || '.' || n, n * 10, n
FROM generate_series (0, 9) g, generate_series(0, 4) n;
INSERT INTO option_ingredients (option_id, ingredient_id)
SELECT md5('option' || g || '-' || n)::uuid, md5('ingredient' || (g * 4 + n) % 40)::uuid
FROM generate_series (0, 9) g, generate_series(0, 4) n;
INSERT INTO products (id, slug, name, description, price, position)
SELECT md5('product' || n)::uuid, 'product-' || n, (ARRAY['Латте', 'Раф', 'Капучино', 'Чай', 'Какао'])[1 + n % 5] || ' ' || n, 'Напиток номер ' || n || ' из меню', 100 + (n * 37) % 700, n % 50
FROM generate_series (0, :products - 1) n;
INSERT INTO product_categories (product_id, category_id, position)
SELECT md5('product' || n)::uuid, md5('category' || (n + k * 7) % 20)::uuid, n
FROM generate_series (0, :products - 1) n, generate_series(0, 1) k;
INSERT INTO sizes (id, product_id, name, volume_ml, price_delta, is_default, position)
SELECT md5('size' || n || '-' || k)::uuid, md5('product' || n)::uuid, (ARRAY['S', 'M', 'L'])[k + 1], 250 + k * 100, k * 40, k = 0, k
FROM generate_series (0, :products - 1) n, generate_series(0, 2) k;
INSERT INTO product_modifier_groups (product_id, group_id, position)
SELECT md5('product' || n)::uuid, md5('group' || (n + k * 3) % 10)::uuid, k
FROM generate_series (0, :products - 1) n, generate_series(0, 2) k;
INSERT INTO product_ingredients (product_id, ingredient_id, position)
SELECT md5('product' || n)::uuid, md5('ingredient' || (n + k * 11) % 40)::uuid, k
FROM generate_series (0, :products - 1) n, generate_series(0, 1) k;
INSERT INTO product_images (id, product_id, key, width, height, widths)
SELECT md5('image' || n)::uuid, md5('product' || n)::uuid, md5('image' || n), 960, 960, '{320,640,960}'
FROM generate_series (0, :products - 1) n;
INSERT INTO shops (id, slug, name, address, timezone)
VALUES (md5('shop')::uuid, 'bench', 'Арбат', 'Арбат, 1', 'UTC');
INSERT INTO opening_intervals (id, shop_id, weekday, opens_minute, closes_minute)
SELECT gen_random_uuid(), md5('shop')::uuid, n, 0, 1440
FROM generate_series (0, 6) n;
INSERT INTO users (id, email, name, role_id, verified_at)
SELECT md5('user' || n)::uuid, 'user' || n || '@example.com', 'Имя ' || n, (SELECT id FROM roles WHERE name = 'user'), now()
FROM generate_series (0, :users - 1) n;
INSERT INTO orders (id, number, business_date, status, shop_id, user_id, ready_estimate_at, payment_method, payment_status, subtotal, total, currency, created_at)
SELECT md5('order' || n)::uuid, n::text, '2020-01-01'::date + n / 500, 'completed', md5('shop')::uuid, md5('user' || n % :users)::uuid, now(), 'on_pickup', 'paid', 250, 250, 'RUB', timestamptz '2020-01-01' + n * interval '1 minute'
FROM generate_series (0, :orders - 1) n;
INSERT INTO order_lines (id, order_id, position, product_id, name, options, quantity, unit_price, total)
SELECT md5('line' || n)::uuid, md5('order' || n)::uuid, 0, md5('product' || n % :products)::uuid, 'Латте', '[]', 1, 250, 250
FROM generate_series (0, :orders - 1) n;
