-- A history of orders :since to :until, the last left out: every second of 200 regulars, the others of :people people,
-- for :products products; each with two lines and what became of it, every tenth with a mail and an idempotency record.

SET LOCAL session_replication_role = replica; -- what they refer to is there: nothing needs to be looked up

INSERT INTO orders (id, number, business_date, status, shop_id, user_id, ready_estimate_at, payment_method, payment_status, subtotal, total, currency, created_at)
SELECT md5('order' || n)::uuid, n::text, '2020-01-01'::date + n / 500, 'completed', md5('shop')::uuid,
    md5('user' || CASE WHEN n % 2 = 0 THEN n / 2 % 200 ELSE n % :people END)::uuid, now(), 'on_pickup', 'paid', 500, 500, 'RUB',
    timestamptz '2020-01-01' + n * interval '1 minute'
FROM generate_series (:since, :until - 1) n;
INSERT INTO order_lines (id, order_id, position, product_id, name, options, quantity, unit_price, total)
SELECT md5('line' || n || '-' || k)::uuid, md5('order' || n)::uuid, k, md5('product' || (n + k) % :products)::uuid, 'Латте', '[]', 1, 250, 250
FROM generate_series (:since, :until - 1) n, generate_series (0, 1) k;
INSERT INTO order_events (id, order_id, from_status, status, actor_id, actor_role, created_at)
SELECT md5('event' || n || '-' || k)::uuid, md5('order' || n)::uuid, (ARRAY[NULL, 'placed', 'ready'])[k + 1],
    (ARRAY['placed', 'ready', 'completed'])[k + 1], md5('barista0')::uuid, 'barista', timestamptz '2020-01-01' + n * interval '1 minute'
FROM generate_series (:since, :until - 1) n, generate_series (0, 2) k;
INSERT INTO mails (id, recipient, template, language, context, status, sent_at)
SELECT md5('mail' || n)::uuid, 'user' || n || '@example.com', 'order_placed_customer', 'ru', '{}', 'sent', now()
FROM generate_series (:since / 10, :until / 10 - 1) n;
INSERT INTO idempotency_records (user_id, route, key, request_hash, status, body)
SELECT md5('user' || n % :people)::uuid, 'POST /order', n::text, '\x00', 201, convert_to(repeat('x', 1000), 'UTF8')
FROM generate_series (:since / 10, :until / 10 - 1) n;
