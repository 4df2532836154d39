-- Makes a worker known, or renews what is known of it, and places what it has room for. Atomic, so that what it has left
-- is always its whole without what it holds, also where it was away and its deliveries were not.
-- ARGV: worker, traits (` one two `), its whole as a vector. May be repeated.
-- Returns 1 when it was not known.
local worker, traits, total = ARGV[1], ARGV[2], ARGV[3]
local is_new = redis.call('HEXISTS', 'tek:total', worker) == 0
local was = redis.call('HMGET', 'tek:traits', worker) [1]
if is_new then redis.call('ZADD', 'tek:joined', redis.call('INCR', 'tek:joins'), worker) end
is_news = is_new or was ~= traits or redis.call('HGET', 'tek:total', worker) ~= total
redis.call('HSET', 'tek:traits', worker, traits)
redis.call('HSET', 'tek:total', worker, total)
if is_news then
  roomy[worker] = true
  sum_up()
end
redis.call('HSET', 'tek:free', worker, table.concat(recall(worker, numbers(total), is_new), ' '))
finish('')
return is_new and 1 or 0
