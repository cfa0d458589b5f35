-- A chain without products: headings, groups, a shop and :users people.

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
INSERT INTO shops (id, slug, name, address, timezone)
VALUES (md5('shop')::uuid, 'bench', 'Арбат', 'Арбат, 1', 'UTC');
INSERT INTO opening_intervals (id, shop_id, weekday, opens_minute, closes_minute)
SELECT gen_random_uuid(), md5('shop')::uuid, n, 0, 1440
FROM generate_series (0, 6) n;
INSERT INTO users (id, email, name, role_id, verified_at)
SELECT md5('user' || n)::uuid, 'user' || n || '@example.com', 'Имя ' || n, (SELECT id FROM roles WHERE name = 'user'), now()
FROM generate_series (0, :users - 1) n;
