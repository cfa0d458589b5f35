-- A history of orders :since to :until, the last left out: of :users people, for :products products.

INSERT INTO orders (id, number, business_date, status, shop_id, user_id, ready_estimate_at, payment_method, payment_status, subtotal, total, currency, created_at)
SELECT md5('order' || n)::uuid, n::text, '2020-01-01'::date + n / 500, 'completed', md5('shop')::uuid, md5('user' || n % :users)::uuid, now(), 'on_pickup', 'paid', 250, 250, 'RUB', timestamptz '2020-01-01' + n * interval '1 minute'
FROM generate_series (:since, :until - 1) n;
INSERT INTO order_lines (id, order_id, position, product_id, name, options, quantity, unit_price, total)
SELECT md5('line' || n)::uuid, md5('order' || n)::uuid, 0, md5('product' || n % :products)::uuid, 'Латте', '[]', 1, 250, 250
FROM generate_series (:since, :until - 1) n;
