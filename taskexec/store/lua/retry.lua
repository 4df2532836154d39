-- Has tasks that have ended run again, and everything that depends on them; what else has succeeded stands. Atomic so
-- that no completion falls between the look and the change.
-- ARGV: a line of JSON (who and why), a name for this call, then indexes of tasks. May be repeated: a call of the same
-- name as the last one gets its answer again, and changes nothing. A deadline that has passed no longer holds afterwards.
-- Returns {0, indexes that wait again}; or, with nothing changed, {1, indexes that are held, queued or run} or
-- {2, named tasks that could not start, because something that they depend on has failed and is not among them}.
if not meta('run') then return redis.error_reply('TEK no such run') end
local was, kept = meta('status'), meta('retried')
if kept and meta('retry_request') == ARGV[2] then
  local list = {}
  for index in string.gmatch(kept, '%d+') do list[#list + 1] = index end
  return {0, list}
end
local member, order = {}, {}  -- the named tasks and all behind them, breadth first
for at = 3, #ARGV do
  if not member[ARGV[at]] then
    member[ARGV[at]] = true
    order[#order + 1] = ARGV[at]
  end
end
local named, front = #order, order
while #front > 0 do
  local found = {}
  for _, list in ipairs(fetch(K.successors, front)) do
    for successor in string.gmatch(list or '', '%d+') do
      if not member[successor] then
        member[successor] = true
        found[#found + 1] = successor
      end
    end
  end
  for _, index in ipairs(found) do order[#order + 1] = index end
  front = found
end

local letters, numbers, busy = {}, {}, {}
for at, state in ipairs(fetch(K.state, order)) do
  letters[order[at]] = state and string.sub(state, 1, 1) or 'W'
  numbers[order[at]] = state and tonumber(string.sub(state, 2)) or 0
  if string.find('HQR', letters[order[at]], 1, true) then busy[#busy + 1] = order[at] end
end
if #busy > 0 then return {1, busy} end

-- Dependencies that were not taken along, and with which state.
local before, outside, wanted = {}, {}, {}
for at, spec in ipairs(fetch(K.spec, order)) do
  local list = {}
  local stop = string.find(spec or '', '\n', 1, true) or 0
  for index in string.gmatch(string.sub(spec or '', 1, stop), '%d+') do
    list[#list + 1] = index
    if not member[index] and not outside[index] then
      outside[index] = 'W'
      wanted[#wanted + 1] = index
    end
  end
  before[order[at]] = list
end
for at, state in ipairs(fetch(K.state, wanted)) do outside[wanted[at]] = state and string.sub(state, 1, 1) or 'W' end

-- What stands behind a failure that is not taken along stays as it is, with everything behind it.
local blocked, found = {}, {}
for _, index in ipairs(order) do
  for _, dependency in ipairs(before[index]) do
    if outside[dependency] and string.find('FXC', outside[dependency], 1, true) and not blocked[index] then
      blocked[index] = true
      found[#found + 1] = index
    end
  end
end
while #found > 0 do
  local next_found = {}
  for _, list in ipairs(fetch(K.successors, found)) do
    for successor in string.gmatch(list or '', '%d+') do
      if member[successor] and not blocked[successor] then
        blocked[successor] = true
        next_found[#next_found + 1] = successor
      end
    end
  end
  found = next_found
end
local hopeless = {}
for at = 1, named do
  if blocked[order[at]] then hopeless[#hopeless + 1] = order[at] end
end
if #hopeless > 0 then return {2, hopeless} end

local COUNTERS = {S = 'succeeded', F = 'failed', X = 'skipped', C = 'cancelled'}
local reset, again = {}, {}
for _, index in ipairs(order) do
  if not blocked[index] and letters[index] ~= 'P' then
    reset[index] = true
    if letters[index] ~= 'W' then again[#again + 1] = index end
  end
end
if #again == 0 then return {0, {}} end
table.sort(again, function(one, other) return tonumber(one) < tonumber(other) end)
if was == 'pending' then begin(true) end  -- a further life of a run begins with it
line('O', 0, 0, ARGV[1])
local tried = meta('has_tried') and fetch(K.tried, again) or {}
local attempts = {}
for at, index in ipairs(again) do
  line('G', index, numbers[index])
  add(COUNTERS[letters[index]], -1)
  attempts[#attempts + 1] = index
  attempts[#attempts + 1] = math.max(numbers[index], tonumber(tried[at] or '0'))
end
sliced(attempts, function(slice) redis.call('HSET', K.tried, unpack(slice)) end)
put_meta('has_tried', '1', 'retry_request', ARGV[2], 'retried', table.concat(again, ','))
sliced(again, function(slice)
  for _, key in ipairs({K.state, K.lost, K.result, K.first, K.starved, K.placed}) do redis.call('HDEL', key, unpack(slice)) end
end)
add('left', #again)
local free, latches = {}, {}
for index in pairs(reset) do
  local pending = 0
  for _, dependency in ipairs(before[index]) do
    local is_done = letters[dependency] == 'P' or string.find('SP', outside[dependency] or 'W', 1, true)
    if not is_done then pending = pending + 1 end
  end
  latches[#latches + 1] = index
  latches[#latches + 1] = pending
  if pending == 0 then free[#free + 1] = index end
end
sliced(latches, function(slice) redis.call('HSET', K.pending, unpack(slice)) end)
table.sort(free, function(one, other) return tonumber(one) < tonumber(other) end)
if was ~= 'running' then
  put_meta('status', 'running')
  redis.call('SADD', 'tek:active', meta('run'))
  for _, key in ipairs(all_keys()) do redis.call('PERSIST', key) end
end
drop_meta('finished_us', 'stopping', 'expired', 'deadline_us')
if tonumber(meta('deadline_at_us') or '0') <= now then drop_meta('deadline_at_us') end
local ends = deadline()
if ends then put_meta('deadline_us', text(ends)) end
open(free)
finish('')
return {0, again}
