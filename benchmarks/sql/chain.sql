-- A chain without products: categories, groups, a shop, :people people of whom :logins are logged in, and staff.

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
FROM generate_series (0, :people - 1) n;
INSERT INTO users (id, email, name, role_id, verified_at)
SELECT md5('admin')::uuid, 'admin@example.com', 'Админ', id, now() FROM roles WHERE name = 'admin';
INSERT INTO users (id, email, name, role_id, verified_at)
SELECT md5('support' || n)::uuid, 'support' || n || '@example.com', 'Поддержка ' || n, id, now()
FROM roles, generate_series (0, 99) n WHERE name = 'support';
INSERT INTO users (id, email, name, role_id, verified_at, is_tied)
SELECT md5('barista' || n)::uuid, 'barista' || n || '@example.com', 'Бариста ' || n, id, now(), true
FROM roles, generate_series (0, 49) n WHERE name = 'barista';
INSERT INTO staff_shops (user_id, shop_id)
SELECT md5('barista' || n)::uuid, md5('shop')::uuid
FROM generate_series (0, 49) n;
INSERT INTO sessions (id, user_id, last_used_at, expires_at)
SELECT md5('login of ' || name)::uuid, md5(name)::uuid, now(), now() + interval '30 days'
FROM (
    SELECT 'user' || n FROM generate_series (0, :logins - 1) n
    UNION ALL SELECT 'support' || n FROM generate_series (0, 99) n
    UNION ALL SELECT 'barista' || n FROM generate_series (0, 49) n
    UNION ALL SELECT 'admin'
) logins (name);
