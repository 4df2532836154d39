-- Ends lapsed leases and queues again what was taken off a queue and never claimed. Any node may call it at any
-- time; atomic so that two of them end a lease once.
-- ARGV: worker, lease in microseconds, JSON record of why. May be repeated.
-- After a gap between calls longer than a lease (the server was stopped, or nobody reaped) nothing is ended for
-- one lease: holders get the time to renew that they did not have.
-- Returns {lapsed, queued again}.
local worker, lease, record = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not meta('run') then return {0, 0} end  -- gone since the caller looked; its meta hash must not come back
local last, calm = tonumber(meta('reaped_us') or '0'), tonumber(meta('calm_us') or '0')
redis.call('HSET', K.meta, 'reaped_us', text(now))
if now - last > lease then
  calm = now + lease
  redis.call('HSET', K.meta, 'calm_us', text(calm))
end
if now < calm then return {0, 0} end
local lapsed = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.lease, '-inf', text(now), 'LIMIT', 0, 100)) do
  lapsed = lapsed + end_lease(member, record)
end
local requeued = requeue_popped(now - lease)
finish(worker)
return {lapsed, requeued}
