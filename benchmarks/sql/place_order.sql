-- What placing an order asks of PostgreSQL, for pgbench: the limit of any server that asks the same.
\set person random(0, 4999)
\set product random(0, :products - 1)
\set key random(1, 9000000000000000000)
SELECT sessions.id FROM sessions JOIN users ON users.id = sessions.user_id JOIN roles ON roles.id = users.role_id
WHERE sessions.id = md5('login of user' || :person)::uuid AND ended_at IS NULL AND users.is_active;
BEGIN;
SELECT claimed.is_claimed, kept.request_hash, kept.body, kept.location
FROM (SELECT pg_try_advisory_xact_lock(:key) AS is_claimed) claimed
LEFT JOIN idempotency_records kept
ON kept.user_id = md5('user' || :person)::uuid AND kept.route = 'POST /order' AND kept.key = :key::text;
SELECT id AS user_id, email, language, name FROM users WHERE id = md5('user' || :person)::uuid FOR NO KEY UPDATE \gset
SELECT shops.*, (
    SELECT jsonb_agg(jsonb_build_array(weekday, opens_minute, closes_minute) ORDER BY weekday, opens_minute)::text
    FROM opening_intervals WHERE shop_id = shops.id
), (
    SELECT count(*) FROM orders
    WHERE user_id = :user_id::uuid AND status IN ('placed', 'accepted', 'preparing', 'ready')
) FROM shops WHERE is_active AND id = md5('shop')::uuid;
SELECT id FROM products WHERE id = ANY (ARRAY[md5('product' || :product)::uuid]) ORDER BY id FOR SHARE;
SELECT id, name, price, (SELECT coalesce("full", public) FROM product_documents WHERE product_id = products.id)
FROM products WHERE id = ANY (ARRAY[md5('product' || :product)::uuid]) ORDER BY id;
INSERT INTO order_number_counters (shop_id, business_date, last) VALUES (md5('shop')::uuid, '1999-01-01', 1)
ON CONFLICT (shop_id, business_date) DO UPDATE SET last = order_number_counters.last + 1 RETURNING last AS number \gset
WITH placed AS (
    INSERT INTO orders (id, number, business_date, status, shop_id, user_id, ready_estimate_at, subtotal, total, currency, changed_in)
    SELECT gen_random_uuid(), :number::text, '1999-01-01', 'placed', md5('shop')::uuid, :user_id::uuid, now(), 250, 250, 'RUB',
        pg_current_xact_id()::text::bigint
    RETURNING id
), lines AS (
    INSERT INTO order_lines (id, order_id, position, product_id, name, size, options, quantity, unit_price, total)
    SELECT gen_random_uuid(), id, 0, md5('product' || :product)::uuid, 'Латте', '{"name": "S"}', '[]', 1, 250, 250 FROM placed
), events AS (
    INSERT INTO order_events (id, order_id, status, actor_id, actor_role)
    SELECT gen_random_uuid(), id, 'placed', :user_id::uuid, 'user' FROM placed
)
INSERT INTO events (id, transaction, kind, subject_id, data)
SELECT gen_random_uuid(), pg_current_xact_id()::text::bigint, 'order.placed', id, '{}' FROM placed;
INSERT INTO idempotency_records (user_id, route, key, request_hash, status, location, body)
VALUES (:user_id::uuid, 'POST /order', :key::text, '\\x00', 201, '/order/limit', convert_to(repeat('x', 1000), 'UTF8'))
ON CONFLICT DO NOTHING RETURNING key;
COMMIT;
