-- Has a rank above 0 of a distributed task begin, with a lease of its own. Atomic: a rank begins once, and only while the
-- attempt that it was placed for waits for its leader or runs. Who leads it is told.
-- ARGV: worker, token of this delivery, lease in microseconds, index, attempt, rank, where the rank is to be found (JSON).
-- May be repeated: a rank that the same token has begun gets the same answer.
-- Returns {server time}, and for a rank that has begun behind it its spec, {index, result, …} of what it depends on, its
-- limits ('' or as those of `claim`) and where it was placed.
local worker, token, lease, index, attempt, rank, told = unpack(ARGV)
local ends = tonumber(meta('deadline_us') or '0')
local workers, placed_attempt = spots_of(index)
local state, member = redis.call('HGET', K.state, index), index .. '|' .. attempt .. '|' .. token
local is_open = state == 'Q' .. attempt or state == 'R' .. attempt
local is_ours = placed_attempt == attempt and workers[tonumber(rank) + 1] == worker and rank ~= '0'
if (ends > 0 and now >= ends) or not is_open or not is_ours then return {stamp} end
local name = meta('run') .. ':' .. index .. ':' .. attempt .. ':' .. rank
if redis.call('HEXISTS', 'tek:holds:' .. worker, name) == 1 then
  begin_rank(worker, token, index, attempt, rank, told)
  local leader = begun_as(index, attempt, 0)
  if leader then ring(leader, 'begun ' .. rank) end
elseif begun_as(index, attempt, rank) ~= token then
  return {stamp}
end
redis.call('ZADD', K.lease, text(now + tonumber(lease)), member)
local spec = redis.call('HGET', K.spec, index)
local limits = meta('has_policies') and limits_of(index) or ''
local inputs, place = inputs_of({spec}), redis.call('HGET', K.placed, index)
finish(worker)
return {stamp, spec, inputs, limits, place}
