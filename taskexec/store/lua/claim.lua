-- Gives the members of a message to a worker, each with a lease. Atomic: of two claims one finds the other.
-- ARGV: worker, token of this delivery, lease in microseconds, then index, attempt of each member.
-- May be repeated: members already leased to the same token are given again.
-- Returns {server time, positions of the claimed members (from 0), their specs, {index, result, …} of what
-- they depend on, limits of each (microseconds left or '', and how many times the memory)}.
local worker, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local indexes = {}
for at = 4, #ARGV, 2 do indexes[#indexes + 1] = ARGV[at] end
local ends = tonumber(meta('deadline_us') or '0')
if ends > 0 and now >= ends then return {text(now), {}, {}, {}, {}} end  -- whoever reaps next stops the run
local until_us = text(now + lease)
local positions, claimed, states, leases, seen = {}, {}, {}, {}, {}
for at, state in ipairs(fetch(K.state, indexes)) do
  local index, attempt = indexes[at], ARGV[3 + 2 * at]
  local member = index .. '|' .. attempt .. '|' .. token
  local fresh = state == 'Q' .. attempt
  local again = state == 'R' .. attempt and redis.call('ZSCORE', K.lease, member)
  if (fresh or again) and not seen[member] then  -- what one message names twice runs once
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
if #claimed == 0 then return {text(now), {}, {}, {}, {}} end
set_states(states)
redis.call('ZREM', K.queued, unpack(claimed))
redis.call('ZADD', K.lease, unpack(leases))
local specs, wanted, inputs = fetch(K.spec, claimed), {}, {}
seen = {}
for at, spec in ipairs(specs) do
  local stop = string.find(spec, '\n', 1, true)
  for index in string.gmatch(string.sub(spec, 1, stop), '%d+') do
    if not seen[index] then
      seen[index] = true
      wanted[#wanted + 1] = index
    end
  end
end
for at, value in ipairs(fetch(K.result, wanted)) do
  if value then
    inputs[#inputs + 1] = wanted[at]
    inputs[#inputs + 1] = value
  end
end
local limits = {}
for at, index in ipairs(meta('has_policies') and claimed or {}) do
  local policy, left = policy_of(index), math.huge
  if policy.budget_us > 0 then
    redis.call('HSETNX', K.first, index, text(now))
    left = tonumber(redis.call('HGET', K.first, index)) + policy.budget_us - now
  end
  if policy.deadline_us > 0 then left = math.min(left, policy.deadline_us - now) end
  local starved = policy.memory > 1 and tonumber(redis.call('HGET', K.starved, index) or '0') or 0
  limits[at] = (left < math.huge and text(math.max(left, 0)) or '') .. ' ' .. string.format('%.17g', policy.memory ^ starved)
end
finish(worker)
return {text(now), positions, specs, inputs, limits}
