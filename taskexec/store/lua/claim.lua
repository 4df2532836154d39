-- Gives the members of a message to a worker, each with a lease. Atomic: of two claims one finds the other.
-- ARGV: worker, token of this delivery, lease in microseconds, then index, attempt of each member.
-- May be repeated: members already leased to the same token are given again.
-- Returns {server time, positions of the claimed members (from 0), their specs, {index, result, …} of what
-- they depend on, limits of each (microseconds left or '', and how many times the memory), where each was placed ('' for
-- what took a slot), 1 when the worker has no slot for them: the message is back where it was}.
local worker, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
is_claim = true
local indexes = {}
for at = 4, #ARGV, 2 do indexes[#indexes + 1] = ARGV[at] end
local ends = tonumber(meta('deadline_us') or '0')
if ends > 0 and now >= ends then return {stamp, {}, {}, {}, {}, {}, 0} end  -- whoever reaps next stops the run
local until_us = text(now + lease)
local positions, claimed, states, leases, seen, slotted, places, gangs, singles = {}, {}, {}, {}, {}, {}, {}, {}, {}
local held = {}
local placed = meta('has_asks') and fetch(K.placed, indexes) or {}
for at, state in ipairs(fetch(K.state, indexes)) do
  local index, attempt = indexes[at], ARGV[3 + 2 * at]
  local member = index .. '|' .. attempt .. '|' .. token
  local fresh = state == 'Q' .. attempt
  local again = state == 'R' .. attempt and redis.call('ZSCORE', K.lease, member)
  local is_ours, workers, placed_attempt = true, {}, nil
  if placed[at] then
    workers, placed_attempt = spots_of(index, placed[at])
    is_ours = placed_attempt == attempt and workers[1] == worker
    if fresh and is_ours then  -- what was placed and is held no more is placed anew
      held[index] = redis.call('HGET', 'tek:holds:' .. worker, meta('run') .. ':' .. index .. ':' .. attempt .. ':0')
      is_ours = held[index]
    end
  end
  if (fresh or again) and is_ours and not seen[member] then  -- what one message names twice runs once
    places[#places + 1] = placed[at] or ''
    if fresh and not placed[at] then slotted[#slotted + 1] = {index, attempt} end
    if #workers > 1 then gangs[#gangs + 1] = {index, attempt} end
    if #workers == 1 then singles[#singles + 1] = {index, attempt} end
    positions[#positions + 1] = at - 1
    claimed[#claimed + 1] = index
    leases[#leases + 1] = until_us
    leases[#leases + 1] = member
    if fresh then
      states[#states + 1] = index
      states[#states + 1] = 'R' .. attempt
      line('R', index, attempt)
    end
  end
  seen[member] = true
end
if #claimed == 0 then return {stamp, {}, {}, {}, {}, {}, 0} end
if #slotted > 0 and not take_slot(worker, token, slotted) then
  local record = parse(redis.call('HGET', K.task, slotted[1][1]))
  local since = redis.call('ZSCORE', K['queued:' .. record.route], slotted[1][1])
  publish(slotted, record, {run = meta('run'), template = meta('template')}, 0, text(tonumber(since)))
  redis.call('HINCRBY', 'tek:waiters', worker, 1)
  lines = {}
  finish(worker)
  return {stamp, {}, {}, {}, {}, {}, 1}
end
set_states(states)
local removed = #claimed - #slotted  -- what was placed, or is claimed again, is in no list
for _, route in ipairs(ROUTES) do
  if removed < #claimed then removed = removed + redis.call('ZREM', K['queued:' .. route], unpack(claimed)) end
end
if #placed > 0 then redis.call('ZREM', K.assigned, unpack(claimed)) end
redis.call('ZADD', K.lease, unpack(leases))
for _, one in ipairs(singles) do hold_by_token(worker, token, one[1], one[2], 0, held[one[1]]) end
for _, led in ipairs(gangs) do begin_rank(worker, token, led[1], led[2], 0, '') end
local specs, limits = fetch(K.spec, claimed), {}
local inputs = inputs_of(specs)
for at, index in ipairs(meta('has_policies') and claimed or {}) do limits[at] = limits_of(index) end
finish(worker)
return {stamp, positions, specs, inputs, limits, places, 0}
