-- Ends lapsed leases, queues again what was taken off a queue and never claimed, queues what is held and whose delay is
-- over, and ends a run whose time is up. Any node may call it at any time; atomic so that two of them do each once.
-- ARGV: worker, lease in microseconds, JSON record of why. May be repeated.
-- After a gap between calls longer than a lease (the server was stopped, or nobody reaped) no lease is ended for
-- one lease: holders get the time to renew that they did not have.
-- Returns {lapsed, queued again, microseconds until something is due or -1}.
local worker, lease, record = ARGV[1], tonumber(ARGV[2]), ARGV[3]
looks_again = true
if not meta('run') then return {0, 0, -1} end  -- gone since the caller looked; its meta hash must not come back
local last, calm = tonumber(meta('reaped_us') or '0'), tonumber(meta('calm_us') or '0')
put_meta('reaped_us', stamp)
if now - last > lease then
  calm = now + lease
  put_meta('calm_us', text(calm))
end
local lapsed, requeued, ends = 0, 0, tonumber(meta('deadline_us') or '0')
if ends > 0 and now >= ends and meta('status') == 'running' then
  put_meta('expired', '1')
  line('K', 0, 0)
  count('expired')
  cancel_all(true)
else
  release_due()
  if now >= calm then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.lease, '-inf', stamp, 'LIMIT', 0, 100)) do
      lapsed = lapsed + end_lease(member, record)
    end
    lapsed = lapsed + end_broken_gangs(record)
    if lapsed > 0 then count('lapsed', lapsed) end
    requeued = requeue_popped(now - lease) + requeue_unassigned(now - lease, '')
  end
end
finish(worker)
local due = tonumber(redis.call('ZRANGE', K.delayed, 0, 0, 'WITHSCORES')[2])
if ends > 0 and meta('status') == 'running' then due = math.min(due or ends, ends) end
return {lapsed, requeued, due and math.max(due - now, 0) or -1}
