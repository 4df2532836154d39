-- Shared by every script of a run. Not a script by itself: the loader puts it in front of each of the others.
--
-- KEYS[1]  the run's key prefix, `tek:{<run>}`; all keys of the run are built from it (see store/keys.py).
--
-- States, in <run>:state, field = task index: absent = waiting, then a letter and the attempt number:
--   H held until its delay is over, or until another is off trial · Q queued · R running · S succeeded · F failed · X skipped · C cancelled
--   P satisfied (done before, attempt 0)
-- Log lines, in the `d` field of one stream entry a call, in the order in which they took effect:
--   U submitted (head, key, signature) · A started · P satisfied · Q queued · R running · S succeeded · F failed
--   T failed, to be tried again · H held (until a time) · L attempt lost · N lease renewed after it had lapsed
--   B given back unstarted · X skipped (attempt = index of the failed task) · C cancelled · D refused as late
--   K the run's time is up · O reopened · G task to run again · E run ended (index = its status)
-- Beside it `k`, `s` (and `l`): a worker's signature of the records that the call completed, see domain/proof.py.
-- Times are the server's, in microseconds. A Lua error midway is not rolled back, so scripts read and check
-- before their first write, and each may be called again with the same arguments (see the note in each).

local P = KEYS[1]
local K = {
  meta = P .. ':meta', state = P .. ':state', pending = P .. ':pending', successors = P .. ':successors',
  task = P .. ':task', spec = P .. ':spec', queued = P .. ':queued', lease = P .. ':lease', lost = P .. ':lost',
  result = P .. ':result', log = P .. ':log', canvas = P .. ':canvas', plan = P .. ':plan', output = P .. ':output',
  policy = P .. ':policy', delayed = P .. ':delayed', tried = P .. ':tried', first = P .. ':first',
  starved = P .. ':starved', suspects = P .. ':suspects', reused = P .. ':reused', leaves = P .. ':leaves', blocks = P .. ':blocks',
}
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lines = {}          -- log lines of this call
local tally = {}          -- counters of <run>:meta to move, by name
local ready = {}          -- {index, attempt} pairs to push, in order
local MANY = 500          -- arguments in one variadic call; Lua's unpack takes some thousands

local function text(number) return string.format('%.0f', number) end
local function add(name, amount) tally[name] = (tally[name] or 0) + amount end
local function line(letter, index, attempt, rest)
  lines[#lines + 1] = letter .. ' ' .. index .. ' ' .. attempt .. (rest and (' ' .. rest) or '')
end
local function meta(name) return redis.call('HGET', K.meta, name) end

-- Calls fn(slice) for slices of at most MANY items of list.
local function sliced(list, fn)
  if #list == 0 then return end
  if #list <= MANY then return fn(list) end
  for first = 1, #list, MANY do
    local slice = {}
    for at = first, math.min(first + MANY - 1, #list) do slice[#slice + 1] = list[at] end
    fn(slice)
  end
end

-- Returns the values of several fields of a hash, in their order (false where absent).
local function fetch(key, fields)
  if #fields == 0 then return {} end
  if #fields <= MANY then return redis.call('HMGET', key, unpack(fields)) end
  local values = {}
  sliced(fields, function(slice)
    for _, value in ipairs(redis.call('HMGET', key, unpack(slice))) do values[#values + 1] = value end
  end)
  return values
end

local function set_states(pairs_list)
  sliced(pairs_list, function(slice) redis.call('HSET', K.state, unpack(slice)) end)
end

-- Members of one message: as many as leave work for every slot that has no message waiting for it yet, and as last
-- about `batch_target` together. Of unknown tasks as many as may be: what stands behind a long one is given back.
local function batch_size(count, record, settings)
  local slots = tonumber(redis.call('HGET', 'tek:slots', record.route) or '1')
  local idle = math.max(slots - redis.call('LLEN', record.list), 1)
  local each = math.max(tonumber(meta('ewma:' .. record.kind) or '0'), 1)
  local size = math.min(math.ceil(count / idle), math.floor(settings.target / each), settings.max)
  return math.max(size, 1)
end

-- Publishes one message for members (a list of {index, attempt}) that share a queue and an agent.
local function publish(members, record, settings)
  local run, ids, id = settings.run, {}, nil
  for at, member in ipairs(members) do ids[at] = '[' .. member[1] .. ',' .. member[2] .. ']' end
  if #members == 1 then
    id = run .. '.' .. members[1][1]
  else
    id = run .. '.b' .. redis.call('HINCRBY', K.meta, 'batches', 1)
  end
  local label = record.label
  if #members > 1 then label = #members .. ' tasks from ' .. label end
  local message = string.gsub(settings.template, '[\1-\7]', {
    ['\1'] = id, ['\2'] = record.kind, ['\3'] = label, ['\4'] = table.concat(ids, ','),
    ['\5'] = text(now), ['\6'] = record.route, ['\7'] = #members == 1 and 'tek.attempt' or 'tek.batch',
  })
  redis.call('LPUSH', record.list, message)
end

-- A dispatch record: list key, route, agent, label (JSON text without its quotes), tab-separated. Those of one message
-- agree in the first three.
local function parse(record)
  local list, route, kind, label = string.match(record, '^(.-)\t(.-)\t(.-)\t(.*)$')
  return {list = list, route = route, kind = kind, label = label}
end

-- In a run that is being stopped, what became ready is cancelled instead of queued. The number behind C is how
-- many attempts were started.
local function cancel_ready()
  local indexes, states = {}, {}
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  for at, state in ipairs(fetch(K.state, indexes)) do
    local index, attempts = ready[at][1], ready[at][2] - 1
    if not state or string.sub(state, 1, 1) ~= 'C' then  -- fail-fast may have cancelled it in this very call
      states[#states + 1] = index
      states[#states + 1] = 'C' .. attempts
      line('C', index, attempts)
    end
  end
  set_states(states)
  add('cancelled', #states / 2)
  add('left', -#states / 2)
end

-- Queues everything in `ready`: states, queue times, messages. Called once, at the end of a script.
local function push()
  if #ready == 0 then return end
  if meta('stopping') then return cancel_ready() end
  local settings = redis.call('HMGET', K.meta, 'run', 'template', 'batch_max', 'batch_target_us', 'has_lost')
  local has_lost = settings[5]
  settings = {run = settings[1], template = settings[2], max = tonumber(settings[3]), target = tonumber(settings[4])}
  local indexes, states, times, groups, order, at_now = {}, {}, {}, {}, {}, text(now)
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  local losses = has_lost and fetch(K.lost, indexes) or {}
  for at, record in ipairs(fetch(K.task, indexes)) do
    local index, attempt = ready[at][1], ready[at][2]
    states[#states + 1] = index
    states[#states + 1] = 'Q' .. attempt
    times[#times + 1] = at_now
    times[#times + 1] = index
    line('Q', index, attempt)
    local name = string.match(record, '^[^\t]*\t[^\t]*\t[^\t]*')
    -- one that was lost travels alone: if it is what kills its process, it takes nobody along again
    if tonumber(losses[at] or '0') > 0 then name = name .. '\t' .. index end
    local group = groups[name]
    if not group then
      group = {}
      groups[name] = group
      order[#order + 1] = name
    end
    group[#group + 1] = {index, attempt, record}
  end
  set_states(states)
  sliced(times, function(slice) redis.call('ZADD', K.queued, unpack(slice)) end)
  for _, name in ipairs(order) do
    local group = groups[name]
    local size = batch_size(#group, parse(group[1][3]), settings)
    for start = 1, #group, size do
      local members = {}
      for at = start, math.min(start + size - 1, #group) do members[#members + 1] = group[at] end
      publish(members, parse(members[1][3]), settings)
    end
  end
end

-- Marks everything downstream of a failed task as skipped, breadth first.
local function skip_after(index)
  local front = {index}
  while #front > 0 do
    local found, seen = {}, {}
    for _, list in ipairs(fetch(K.successors, front)) do
      for successor in string.gmatch(list or '', '%d+') do
        if not seen[successor] then
          seen[successor] = true
          found[#found + 1] = successor
        end
      end
    end
    local states, changes = fetch(K.state, found), {}
    front = {}
    for at, successor in ipairs(found) do
      if not states[at] then
        changes[#changes + 1] = successor
        changes[#changes + 1] = 'X0'
        front[#front + 1] = successor
        line('X', successor, index)
      end
    end
    set_states(changes)
    add('skipped', #front)
    add('left', -#front)
  end
end

-- Cancels what has not started (and, with `running`, what has); waiting and queued tasks become cancelled.
local function cancel_all(running)
  local count, changes = tonumber(meta('tasks')), {}
  redis.call('HSET', K.meta, 'stopping', running and 'kill' or 'drain')
  local first = 0
  while first < count do
    local indexes = {}
    for index = first, math.min(first + MANY, count) - 1 do indexes[#indexes + 1] = tostring(index) end
    for at, state in ipairs(fetch(K.state, indexes)) do
      local letter = state and string.sub(state, 1, 1) or 'W'
      if letter == 'W' or letter == 'Q' or letter == 'H' or (running and letter == 'R') then
        local attempt = state and tonumber(string.sub(state, 2)) or 0
        if letter == 'Q' or letter == 'H' then attempt = attempt - 1 end
        changes[#changes + 1] = indexes[at]
        changes[#changes + 1] = 'C' .. attempt
        line('C', indexes[at], attempt)
      end
    end
    first = first + MANY
  end
  set_states(changes)
  redis.call('DEL', K.queued, K.delayed, K.suspects)
  if running then redis.call('DEL', K.lease) end
  add('cancelled', #changes / 2)
  add('left', -#changes / 2)
end

-- Records the final failure of a task; its dependents are skipped, and fail-fast cancels the rest.
local function fail(index, attempt, json)
  redis.call('HSET', K.state, index, 'F' .. attempt)
  add('failed', 1)
  add('left', -1)
  line('F', index, attempt, json)
  skip_after(index)
  if meta('fail_fast') == '1' and not meta('stopping') then cancel_all(false) end
end

-- Attempts of a task in earlier lives of it: before the run was taken up again, or before somebody had it run again.
local function attempts_before(index)
  return meta('has_tried') and tonumber(redis.call('HGET', K.tried, index) or '0') or 0
end

-- Makes tasks whose latches are open ready for their first attempt (of this life).
local function open(indexes)
  local tried = meta('has_tried') and fetch(K.tried, indexes) or {}
  for at, index in ipairs(indexes) do ready[#ready + 1] = {index, tonumber(tried[at] or '0') + 1} end
end

local DEFAULT = {  -- `domain/retry.py` NO_POLICY
  retries = 0, on = {'exit', 'signal', 'timeout', 'out_of_memory', 'lost_worker', 'infrastructure'},
  delay_us = 0, factor = 1, max_us = 0, jitter = 0, memory = 1, budget_us = 0, deadline_us = 0,
}
local LONGEST = 3155760000000000

local function policy_of(index)
  local kept = meta('has_policies') and redis.call('HGET', K.policy, index)
  return kept and cjson.decode(kept) or DEFAULT
end

-- The delay before the attempt after the `number`th failure of its kind; the same as domain/rules.py.
local function delay_after(index, attempt, reason, policy, number)
  local delay, factor = policy.delay_us, policy.factor
  if delay == 0 and reason == 'infrastructure' then delay, factor = 1000000, 2 end
  local longest = policy.max_us > 0 and policy.max_us or LONGEST
  while number > 1 and delay > 0 and delay < longest and factor > 1 do
    delay, number = delay * factor, number - 1
  end
  local name = meta('run') .. '|' .. index .. '|' .. text(attempt)
  local draw = tonumber(string.sub(redis.sha1hex(name), 1, 8), 16) / 4294967295
  return math.floor(math.min(delay, longest) * (1 - policy.jitter * draw))
end

-- Returns the delay until the next attempt after one that did not succeed, or nil when the task has failed with it.
local function fate_after(index, attempt, reason, status)
  local policy = policy_of(index)
  local lost = tonumber(redis.call('HGET', K.lost, index) or '0')
  local is_lost = reason == 'lost_worker' or reason == 'infrastructure'
  if is_lost then
    lost = redis.call('HINCRBY', K.lost, index, 1)
    redis.call('HSET', K.meta, 'has_lost', '1')
  end
  if reason == 'out_of_memory' and policy.memory > 1 then redis.call('HINCRBY', K.starved, index, 1) end
  local number = is_lost and lost or attempt - attempts_before(index) - lost
  local listed = false
  for _, name in ipairs(policy.on) do listed = listed or name == reason or name == 'exit ' .. status end
  if not listed then return nil end
  if is_lost then
    if number >= tonumber(meta('lost_max')) then return nil end
  elseif number > policy.retries then
    return nil
  end
  local delay = reason == 'lost_worker' and 0 or delay_after(index, attempt, reason, policy, number)
  if policy.deadline_us > 0 and now + delay >= policy.deadline_us then return nil end
  if policy.budget_us > 0 then
    local first = tonumber(redis.call('HGET', K.first, index) or '0')
    if now + delay >= first + policy.budget_us then return nil end
  end
  return delay
end

-- Has a task tried again as attempt `attempt`, after a delay.
local function try_again(index, attempt, delay)
  if delay == 0 or meta('stopping') then
    ready[#ready + 1] = {index, attempt}
    return
  end
  redis.call('HSET', K.state, index, 'H' .. text(attempt))
  redis.call('ZADD', K.delayed, text(now + delay), index)
  line('H', index, text(attempt), text(now + delay))
end

-- Queues what is held and whose time has come.
local function release_due()
  for _, index in ipairs(redis.call('ZRANGEBYSCORE', K.delayed, '-inf', text(now), 'LIMIT', 0, MANY)) do
    redis.call('ZREM', K.delayed, index)
    local state = redis.call('HGET', K.state, index)
    if state and string.sub(state, 1, 1) == 'H' then ready[#ready + 1] = {index, tonumber(string.sub(state, 2))} end
  end
end

-- What has lost all attempts but one goes on trial before it may fail for what another one did to its worker: of such
-- tasks one at a time is queued, the others are held until it has ended or was tried again.
local function is_last_chance(index)
  local most = tonumber(meta('lost_max'))
  return most > 1 and tonumber(redis.call('HGET', K.lost, index) or '0') == most - 1
end

local function put_on_trial(index, attempt)
  if not meta('trial') then
    redis.call('HSET', K.meta, 'trial', index .. ' ' .. text(attempt))
    ready[#ready + 1] = {index, attempt}
    return
  end
  redis.call('HSET', K.state, index, 'H' .. text(attempt))
  redis.call('ZADD', K.suspects, text(now), index)
  line('H', index, text(attempt))
end

-- Queues the next suspect once the one on trial has ended, or is on another attempt by now.
local function end_trial()
  local index, attempt = string.match(meta('trial') or '', '^(%d+) (%d+)$')
  if not index then return end
  local state = redis.call('HGET', K.state, index)
  local goes_on = state == 'Q' .. attempt or state == 'R' .. attempt
  for _, member in ipairs(ready) do  -- what is about to be queued has its former state as yet
    if tostring(member[1]) == index then goes_on = text(member[2]) == attempt end
  end
  if goes_on then return end
  redis.call('HDEL', K.meta, 'trial')
  while true do
    local suspect = redis.call('ZPOPMIN', K.suspects)[1]
    if not suspect then return end
    local held = redis.call('HGET', K.state, suspect)
    if held and string.sub(held, 1, 1) == 'H' then
      return put_on_trial(suspect, tonumber(string.sub(held, 2)))
    end
  end
end

-- Ends an attempt that was lost with its worker: next attempt, or failure when they are used up.
local function lose(index, attempt, json)
  line('L', index, attempt, json)
  local delay = fate_after(index, attempt, string.match(json, '"reason":"([a-z_]+)"') or 'lost_worker', '')
  if not delay then
    fail(index, attempt, json)
  elseif is_last_chance(index) and not meta('stopping') then
    put_on_trial(index, attempt + 1)
  else
    try_again(index, attempt + 1, delay)
  end
end

-- Returns queued tasks to look at: those that wait longest and, behind a long backlog, the others in turn from call
-- to call, so that a list that nobody serves does not hide what was lost from another.
local function long_queued(before)
  local found = redis.call('ZRANGEBYSCORE', K.queued, '-inf', text(before), 'LIMIT', 0, MANY)
  if #found < MANY then return found end
  local from = tonumber(meta('looked') or '0') + MANY
  local others = redis.call('ZRANGEBYSCORE', K.queued, '-inf', text(before), 'LIMIT', from, MANY)
  redis.call('HSET', K.meta, 'looked', #others < MANY and 0 or from)
  for _, index in ipairs(others) do found[#found + 1] = index end
  return found
end

-- Ends a lease (a member of <run>:lease) and the attempt that holds it, if it still runs; returns how many: 0 or 1.
local function end_lease(member, json)
  local index, attempt = string.match(member, '^(%d+)|(%d+)|')
  redis.call('ZREM', K.lease, member)
  if redis.call('HGET', K.state, index) ~= 'R' .. attempt then return 0 end
  lose(index, tonumber(attempt), json)
  return 1
end

-- Queues again the attempts whose message left its queue before `before` and that nobody has claimed.
-- A message still in a live worker's hands is then there twice; the second claim finds the first.
local function requeue_popped(before)
  local tails, count = {}, 0
  for _, index in ipairs(long_queued(before)) do
    local record = parse(redis.call('HGET', K.task, index))
    local oldest = tails[record.list]
    if oldest == nil then
      local tail = redis.call('LINDEX', record.list, -1)
      oldest = tail and tonumber(string.match(tail, '"tek_at":%s*(%d+)') or '0') or math.huge
      tails[record.list] = oldest
    end
    if oldest > tonumber(redis.call('ZSCORE', K.queued, index)) then
      local state = redis.call('HGET', K.state, index)
      if state and string.sub(state, 1, 1) == 'Q' then
        ready[#ready + 1] = {index, tonumber(string.sub(state, 2))}
        count = count + 1
      end
    end
  end
  return count
end

-- When the run's time is up, in server time; nil when it has no limit.
local function deadline()
  local limit, at = tonumber(meta('timeout_us') or '0'), tonumber(meta('deadline_at_us') or '0')
  local ends = limit > 0 and now + limit or math.huge
  if at > 0 then ends = math.min(ends, at) end
  return ends < math.huge and ends or nil
end

-- Makes a stored run a started one. Its satisfied tasks enter the log in the order of the plan, but in a further life
-- of a run, whose ledger has them; a run that has nothing to do ends with this call.
local function begin(starts)
  redis.call('HSET', K.meta, 'status', 'running', 'started_us', text(now))
  local ends = deadline()
  if ends then redis.call('HSET', K.meta, 'deadline_us', text(ends)) end
  local head = meta('head')
  if head and head ~= '' then line('U', 0, 0, head .. '\t' .. meta('head_key') .. '\t' .. meta('head_signature')) end
  if starts then line('A', 0, 0) end
  add('left', 0)
  if meta('is_continued') then return end
  local satisfied, flat = {}, redis.call('HGETALL', K.state)
  for at = 1, #flat, 2 do
    if flat[at + 1] == 'P0' then satisfied[#satisfied + 1] = flat[at] end
  end
  table.sort(satisfied, function(one, other) return tonumber(one) < tonumber(other) end)
  for at, reused in ipairs(fetch(K.reused, satisfied)) do line('P', satisfied[at], 0, reused or nil) end
end

-- Ends every script: pushes, moves the counters, closes the run when nothing is left, writes the log entry.
-- `seal`: {key, signature, digests} of what a worker has signed, or nil.
local function finish(worker, seal)
  end_trial()
  push()
  for name, amount in pairs(tally) do
    if amount ~= 0 then redis.call('HINCRBY', K.meta, name, text(amount)) end
  end
  if tally.left and tonumber(meta('left')) == 0 and meta('status') == 'running' then
    local failed, cancelled = tonumber(meta('failed') or '0'), tonumber(meta('cancelled') or '0')
    local status = (failed > 0 or meta('expired')) and 'failed' or (cancelled > 0 and 'cancelled' or 'succeeded')
    redis.call('HSET', K.meta, 'status', status, 'finished_us', text(now))
    redis.call('SREM', 'tek:active', meta('run'))
    lines[#lines + 1] = 'E ' .. status .. ' 0'
  end
  if #lines > 0 then
    local fields = {'t', text(now), 'w', worker, 'd', table.concat(lines, '\n')}
    for at, value in ipairs(seal or {}) do
      fields[#fields + 1] = string.sub('ksl', at, at)
      fields[#fields + 1] = value
    end
    redis.call('XADD', K.log, '*', unpack(fields))
  end
  if tally.left and meta('finished_us') then
    local retention = meta('retention_s')  -- read before the meta hash itself may go
    for _, key in pairs(K) do redis.call('EXPIRE', key, retention) end
  end
end
