-- Ends attempts that were lost, with the pool child or the worker that ran them, at once instead of at the end
-- of their leases. Atomic: an attempt is ended once, by this or by its own completion.
-- ARGV: worker, JSON record of why, then either nothing (every lease of that worker is lost, and what it had
-- taken off its queues unclaimed is queued again), or index, attempt of each member of one lost message
-- (unclaimed members are queued again as the same attempt). May be repeated.
-- Returns how many attempts were ended or queued again.
local worker, record = ARGV[1], ARGV[2]
local lost = 0
local wanted = {}
for at = 3, #ARGV, 2 do wanted[ARGV[at] .. '|' .. ARGV[at + 1]] = true end
local suffix = '|' .. worker .. '/'
for _, member in ipairs(redis.call('ZRANGE', K.lease, 0, -1)) do
  local mine = string.find(member, suffix, 1, true)
  if mine and (#ARGV == 2 or wanted[string.match(member, '^(%d+|%d+)|')]) then
    local index, attempt, token = string.match(member, '^(%d+)|(%d+)|(.*)$')
    -- of a gang's ranks some may live: they, and the worker for its dead children, give back what they hold
    if #ARGV == 2 or #spots_of(index) < 2 then give_back_attempts(worker, {{index, attempt, token}}) end
    lost = lost + end_lease(member, record)
  end
end
for at = 3, #ARGV, 2 do
  local is_ready = false
  for _, member in ipairs(ready) do is_ready = is_ready or member[1] == ARGV[at] end
  if not is_ready and redis.call('HGET', K.state, ARGV[at]) == 'Q' .. ARGV[at + 1] then
    ready[#ready + 1] = {ARGV[at], tonumber(ARGV[at + 1])}
    for _, route in ipairs(ROUTES) do redis.call('ZREM', K['queued:' .. route], ARGV[at]) end
    lost = lost + 1
  end
end
if #ARGV == 2 then lost = lost + requeue_popped(now) + requeue_unassigned(0, worker) end
finish(worker)
return lost
