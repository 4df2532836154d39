-- Forgets workers, but for what deliveries that go on hold of one that comes back. What was placed on them and not started
-- is placed anew by whoever reaps its run. Atomic. ARGV: workers. May be repeated.
-- Returns how many were known.
local count = 0
for _, worker in ipairs(ARGV) do
  if redis.call('ZREM', 'tek:joined', worker) == 1 then count = count + 1 end
  local owner = earmark_of(worker)
  local marks = owner and redis.call('HGETALL', 'tek:earmarks') or {}
  for at = 1, #marks, 2 do  -- whoever has lost one of the workers that are kept for it has them chosen anew
    if string.match(marks[at + 1], '^(.-)|') == owner then redis.call('HDEL', 'tek:earmarks', marks[at]) end
  end
  forget(worker)
  redis.call('DEL', 'tek.' .. worker, 'tek:wake:' .. worker)
  for _, name in ipairs({'tek:traits', 'tek:total', 'tek:free', 'tek:slot', 'tek:earmarks', 'tek:waiters'}) do
    redis.call('HDEL', name, worker)
  end
end
sum_up()
is_news = count > 0
finish('')
return count
