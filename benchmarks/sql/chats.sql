-- Conversations :since to :until, the last left out, of the first people: a question and an answer that was mailed,
-- which every second has not read yet; in every hundredth 30 messages and 25 notes.

SET LOCAL session_replication_role = replica;

INSERT INTO conversations (id, customer_id, shop_id, status, last_seq, customer_read_seq, staff_read_seq, unread_by_customer, mailed_seq, note_count, last_message_at)
SELECT md5('chat' || n)::uuid, md5('user' || n)::uuid, md5('shop')::uuid, (ARRAY['open', 'pending', 'resolved'])[n % 3 + 1],
    last, CASE WHEN n % 2 = 0 THEN last ELSE last - 1 END, last, n % 2, last, CASE WHEN n % 100 = 0 THEN 25 ELSE 0 END,
    timestamptz '2020-01-01' + n * interval '1 minute'
FROM generate_series (:since, :until - 1) n, LATERAL (SELECT CASE WHEN n % 100 = 0 THEN 30 ELSE 2 END) AS lasts (last);
INSERT INTO messages (id, conversation_id, seq, client_id, author_id, author_role, is_from_customer, text, created_at)
SELECT md5('message' || n || '-' || seq)::uuid, md5('chat' || n)::uuid, seq, 'c' || seq,
    CASE WHEN seq % 2 = 1 THEN md5('user' || n)::uuid ELSE md5('support0')::uuid END,
    CASE WHEN seq % 2 = 1 THEN 'user' ELSE 'support' END, seq % 2 = 1, 'Где мой латте номер ' || seq || '?',
    timestamptz '2020-01-01' + n * interval '1 minute'
FROM generate_series (:since, :until - 1) n, generate_series (1, CASE WHEN n % 100 = 0 THEN 30 ELSE 2 END) seq;
INSERT INTO notes (id, conversation_id, author_id, author_role, shop_id, text)
SELECT md5('note' || n || '-' || k)::uuid, md5('chat' || n)::uuid, md5('support0')::uuid, 'support', md5('shop')::uuid, 'Звонила, ждёт'
FROM generate_series (:since, :until - 1) n, generate_series (1, 25) k
WHERE n % 100 = 0;
