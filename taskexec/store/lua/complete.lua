-- Completes attempts: checks each, stores the Celery result, counts down the latches of what depends on it and
-- publishes what became ready. Atomic: there is no moment between "done" and "published".
-- ARGV: worker, agent, microseconds spent, key, signature and digests of the worker's seal ('' for none), then for each
--   member: index, attempt, token, how it ended (`S`, or `F <reason> <exit status>`), key of the Celery result ('' for
--   none), the result, its twin for a failure that will be tried again, the record (one line of JSON), the value for
--   dependents ('' for none).
-- An attempt is completed by who holds its lease, with the token it was claimed with, and by nobody else.
-- May be repeated: an attempt that this call has completed before counts as accepted and changes nothing; one that
-- has failed and is tried again by now counts as refused.
-- Of an attempt that is named twice in one call, the first counts.
-- Returns, for each member, 1 accepted or 0 refused (another attempt owns the task, or it was cancelled).
local worker, agent, spent = ARGV[1], ARGV[2], tonumber(ARGV[3])
local FIRST, WIDTH = 7, 9
read_meta('run', 'status', 'retention_s', 'started_us', 'finished_us', 'trial', 'has_asks', 'has_backlog', 'has_gangs', 'has_tried',
  'ewma:' .. agent)
local status_now = meta('status')
local has_log = status_now and status_now ~= 'pending'  -- a log begins with the head, also that of a further life
local recorded = 0  -- records that this call puts into the log
local lifetime = math.max(tonumber(meta('retention_s') or '1'), 1)
local indexes = {}
for at = FIRST, #ARGV, WIDTH do indexes[#indexes + 1] = ARGV[at] end
local current, following = fetch(K.state, indexes), fetch(K.successors, indexes)
local replies, states, results, done, judged, over = {}, {}, {}, {}, {}, {}

local has_gangs, kind = meta('has_gangs'), agent ~= '' and agent or 'other'

local function store_result(key, value)
  if key ~= '' then
    redis.call('SET', key, value, 'EX', lifetime)
    redis.call('PUBLISH', key, value)
  end
end

for at, index in ipairs(indexes) do
  local base = FIRST + (at - 1) * WIDTH
  local attempt, token, key = ARGV[base + 1], ARGV[base + 2], ARGV[base + 4]
  local outcome, reason, status = string.match(ARGV[base + 3], '^(%a) ?(%S*) ?(%S*)$')
  local record, member = ARGV[base + 7], index .. '|' .. attempt
  if judged[member] then
    replies[at] = judged[member]
  elseif current[at] ~= 'R' .. attempt or redis.call('ZREM', K.lease, member .. '|' .. token) == 0 then
    local repeated = current[at] == outcome .. attempt
    replies[at] = repeated and 1 or 0
    if not repeated and has_log then
      line('D', index, attempt, record)
      recorded = recorded + 1
      count('late')
    end
  else
    replies[at] = 1
    recorded = recorded + 1
    if outcome == 'S' then
      states[#states + 1] = index
      states[#states + 1] = 'S' .. attempt
      line('S', index, attempt, record)
      store_result(key, ARGV[base + 5])
      if ARGV[base + 8] ~= '' then
        results[#results + 1] = index
        results[#results + 1] = ARGV[base + 8]
      end
      done[#done + 1] = following[at] or ''
    else
      count('attempts failed ' .. (reason ~= '' and reason or '-') .. ' ' .. kind)
      local delay = fate_after(index, tonumber(attempt), reason, status)
      if delay then
        line('T', index, attempt, record)
        store_result(key, ARGV[base + 6])
        try_again(index, tonumber(attempt) + 1, delay)
      else
        store_result(key, ARGV[base + 5])
        fail(index, attempt, record)
      end
    end
  end
  if not judged[member] then
    if replies[at] == 1 and has_gangs then close_gang(index, 'over') end
    over[#over + 1] = {index, attempt, token}
  end
  judged[member] = replies[at]
end
give_back_attempts(worker, over)
if is_news and #over > 0 then cause = (meta('run') or '') .. ':' .. over[#over][1] end
set_states(states)
sliced(results, function(slice) redis.call('HSET', K.result, unpack(slice)) end)
if meta('has_asks') then  -- what depends on them is best placed there
  for at, list in ipairs(done) do
    if list ~= '' then
      redis.call('HSET', K.where, states[2 * at - 1], worker)
      if not meta('has_where') then put_meta('has_where', '1') end
    end
  end
end
add('succeeded', #states / 2)
if #states > 0 then count('attempts succeeded - ' .. kind, #states / 2) end
add('left', -#states / 2)

local opened = {}
for _, list in ipairs(done) do
  for successor in string.gmatch(list, '%d+') do
    if redis.call('HINCRBY', K.pending, successor, -1) == 0 then opened[#opened + 1] = successor end
  end
end
local free = {}
for at, state in ipairs(fetch(K.state, opened)) do
  if not state then free[#free + 1] = opened[at] end
end
open(free)
if spent > 0 and #states > 0 then
  local each, known = spent / (#states / 2), tonumber(meta('ewma:' .. agent) or '0')
  put_meta('ewma:' .. agent, text(math.floor((known > 0 and known * 0.7 + each * 0.3 or each) + 0.5)))
end
local seal = ARGV[4] ~= '' and recorded > 0 and {ARGV[4], ARGV[5]}
if seal and recorded < #indexes then seal[3] = ARGV[6] end  -- it covers what an earlier call has logged
finish(worker, seal)
return replies
