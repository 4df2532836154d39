-- Places what waits and fits now: time passes, and what has waited long enough gets workers kept for it. Atomic.
-- ARGV: none. May be repeated. Returns how many runs have something that waits.
is_news, is_thorough = true, true
finish('')
return redis.call('ZCARD', 'tek:wanting')
