-- Shared by every script of a run. Not a script by itself: the loader puts it in front of each of the others.
--
-- KEYS[1]  the run's key prefix, `tek:{<run>}`; all keys of the run are built from it (see store/keys.py).
--
-- States, in <run>:state, field = task index: absent = waiting, then a letter and the attempt number:
--   Q queued · R running · S succeeded · F failed · X skipped · C cancelled · P satisfied (done before, attempt 0)
-- Log lines, in the `d` field of one stream entry a call, in the order in which they took effect:
--   A started · Q queued · R running · S succeeded · F failed · T failed, to be tried again · L attempt lost
--   B given back unstarted · X skipped (attempt = index of the failed task) · C cancelled · D refused as late
--   P satisfied · E run ended (index = its status)
-- Times are the server's, in microseconds. A Lua error midway is not rolled back, so scripts read and check
-- before their first write, and each may be called again with the same arguments (see the note in each).

local P = KEYS[1]
local K = {
  meta = P .. ':meta', state = P .. ':state', pending = P .. ':pending', successors = P .. ':successors',
  task = P .. ':task', spec = P .. ':spec', queued = P .. ':queued', lease = P .. ':lease', lost = P .. ':lost',
  result = P .. ':result', log = P .. ':log', canvas = P .. ':canvas', plan = P .. ':plan', output = P .. ':output',
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

-- A dispatch record: list key, route, agent, retries, label (JSON text without its quotes), tab-separated. Those of
-- one message agree in the first three.
local function parse(record)
  local list, route, kind, retries, label = string.match(record, '^(.-)\t(.-)\t(.-)\t(%d+)\t(.*)$')
  return {list = list, route = route, kind = kind, retries = tonumber(retries), label = label}
end

-- In a run that is being stopped, what became ready is cancelled instead of queued. The number behind C is how
-- many attempts were started.
local function cancel_ready()
  local states = {}
  for _, member in ipairs(ready) do
    states[#states + 1] = member[1]
    states[#states + 1] = 'C' .. (member[2] - 1)
    line('C', member[1], member[2] - 1)
  end
  set_states(states)
  add('cancelled', #ready)
  add('left', -#ready)
end

-- Queues everything in `ready`: states, queue times, messages. Called once, at the end of a script.
local function push()
  if #ready == 0 then return end
  if meta('stopping') then return cancel_ready() end
  local settings = redis.call('HMGET', K.meta, 'run', 'template', 'batch_max', 'batch_target_us')
  settings = {run = settings[1], template = settings[2], max = tonumber(settings[3]), target = tonumber(settings[4])}
  local indexes, states, times, groups, order, at_now = {}, {}, {}, {}, {}, text(now)
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  for at, record in ipairs(fetch(K.task, indexes)) do
    local index, attempt = ready[at][1], ready[at][2]
    states[#states + 1] = index
    states[#states + 1] = 'Q' .. attempt
    times[#times + 1] = at_now
    times[#times + 1] = index
    line('Q', index, attempt)
    local name = string.match(record, '^[^\t]*\t[^\t]*\t[^\t]*')
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
      if letter == 'W' or letter == 'Q' or (running and letter == 'R') then
        local attempt = state and tonumber(string.sub(state, 2)) or 0
        if letter == 'Q' then attempt = attempt - 1 end
        changes[#changes + 1] = indexes[at]
        changes[#changes + 1] = 'C' .. attempt
        line('C', indexes[at], attempt)
      end
    end
    first = first + MANY
  end
  set_states(changes)
  redis.call('DEL', K.queued)
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

-- Ends an attempt that was lost with its worker: next attempt, or failure when they are used up.
local function lose(index, attempt, json)
  line('L', index, attempt, json)
  local times = redis.call('HINCRBY', K.lost, index, 1)
  if times >= tonumber(meta('lost_max')) then
    fail(index, attempt, json)
  else
    ready[#ready + 1] = {index, attempt + 1}
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

-- Makes a stored run a started one. Its satisfied tasks, which alone have a state until then, enter the log in the
-- order of the plan; a run that has no others ends with this call.
local function begin()
  redis.call('HSET', K.meta, 'status', 'running', 'started_us', text(now))
  local satisfied = redis.call('HKEYS', K.state)
  table.sort(satisfied, function(one, other) return tonumber(one) < tonumber(other) end)
  for _, index in ipairs(satisfied) do line('P', index, 0) end
  add('left', 0)
end

-- Ends every script: pushes, moves the counters, closes the run when nothing is left, writes the log entry.
local function finish(worker)
  push()
  for name, amount in pairs(tally) do
    if amount ~= 0 then redis.call('HINCRBY', K.meta, name, text(amount)) end
  end
  if tally.left and tonumber(meta('left')) == 0 and meta('status') == 'running' then
    local failed, cancelled = tonumber(meta('failed') or '0'), tonumber(meta('cancelled') or '0')
    local status = failed > 0 and 'failed' or (cancelled > 0 and 'cancelled' or 'succeeded')
    redis.call('HSET', K.meta, 'status', status, 'finished_us', text(now))
    redis.call('SREM', 'tek:active', meta('run'))
    lines[#lines + 1] = 'E ' .. status .. ' 0'
  end
  if #lines > 0 then redis.call('XADD', K.log, '*', 't', text(now), 'w', worker, 'd', table.concat(lines, '\n')) end
  if tally.left and meta('finished_us') then
    local retention = meta('retention_s')  -- read before the meta hash itself may go
    for _, key in pairs(K) do redis.call('EXPIRE', key, retention) end
  end
end
