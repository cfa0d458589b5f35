-- What placing an order asks of PostgreSQL, for pgbench: the limit of any server that asks the same.
\set person random(0, 199)
\set product random(0, 1999)
BEGIN;
SELECT id AS user_id, email FROM users WHERE id = md5('user' || :person)::uuid FOR NO KEY UPDATE \gset
SELECT count(*) FROM orders WHERE user_id = :user_id::uuid AND status IN ('placed', 'accepted', 'preparing', 'ready');
SELECT shops.*, (
    SELECT jsonb_agg(jsonb_build_array(weekday, opens_minute, closes_minute) ORDER BY weekday, opens_minute)
    FROM opening_intervals WHERE shop_id = shops.id
) FROM shops WHERE is_active AND id = md5('shop')::uuid;
SELECT id FROM products WHERE id = ANY (ARRAY[md5('product' || :product)::uuid]) ORDER BY id FOR SHARE;
SELECT p.id, p.name, p.price, d."full" FROM products p LEFT JOIN product_documents d ON d.product_id = p.id
WHERE p.id = ANY (ARRAY[md5('product' || :product)::uuid]);
SELECT id AS role_id FROM roles WHERE name = 'admin' \gset
SELECT email, language FROM users WHERE role_id = :role_id::uuid AND is_active AND verified_at IS NOT NULL AND deleted_at IS NULL;
INSERT INTO order_number_counters (shop_id, business_date, last) VALUES (md5('shop')::uuid, '1999-01-01', 1)
ON CONFLICT (shop_id, business_date) DO UPDATE SET last = order_number_counters.last + 1 RETURNING last AS number \gset
INSERT INTO orders (id, number, business_date, status, shop_id, user_id, ready_estimate_at, subtotal, total, currency, changed_in)
VALUES (gen_random_uuid(), :number::text, '1999-01-01', 'placed', md5('shop')::uuid, :user_id::uuid, now(), 250, 250, 'RUB', pg_current_xact_id()::text::bigint)
RETURNING id AS order_id \gset
INSERT INTO order_lines (id, order_id, position, product_id, name, size, options, quantity, unit_price, total)
VALUES (gen_random_uuid(), :order_id::uuid, 0, md5('product' || :product)::uuid, 'Латте', '{"name": "S"}', '[]', 1, 250, 250);
INSERT INTO order_events (id, order_id, status, actor_id, actor_role) VALUES (gen_random_uuid(), :order_id::uuid, 'placed', :user_id::uuid, 'user');
INSERT INTO mails (id, dedup_key, recipient, template, language, context)
VALUES (gen_random_uuid(), 'limit:' || :order_id::text, :email, 'order_placed_customer', 'ru', '{"number": "A-001", "total": "250.00"}')
ON CONFLICT (dedup_key) DO NOTHING RETURNING id AS mail_id \gset
SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[
    ROW('limit', 'limit', 0, NULL, NULL, json_build_object('mail_id', :mail_id::text)::jsonb, NULL)::procrastinate_job_to_defer_v1
]));
COMMIT;
