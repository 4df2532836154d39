-- Shared by every script. Not a script by itself: the loader puts it and some others (`_SHARED`) in front of the scripts,
-- each of which becomes a function.
--
-- KEYS[1]  the run's key prefix, `tek:{<run>}`; all keys of the run are built from it (see store/keys.py).
--
-- States, in <run>:state, field = task index: absent = waiting, then a letter and the attempt number:
--   H held until its delay is over, until another is off trial, or until there is room for it · Q queued · R running · S succeeded · F failed · X skipped · C cancelled
--   P satisfied (done before, attempt 0)
-- Log lines, in the `d` field of one stream entry a call, in the order in which they took effect:
--   U submitted (head, key, signature) · A started · P satisfied · Q queued · R running · S succeeded · F failed
--   T failed, to be tried again · H held (until a time) · L attempt lost · N lease renewed after it had lapsed
--   B given back unstarted · X skipped (attempt = index of the failed task) · C cancelled · D refused as late
--   K the run's time is up · O reopened · G task to run again · E run ended (index = its status)
-- Beside it `k`, `s` (and `l`): a worker's signature of the records that the call completed, see domain/proof.py.
-- Times are the server's, in microseconds. A Lua error midway is not rolled back, so scripts read and check
-- before their first write, and each may be called again with the same arguments (see the note in each).

-- All of this is one library of functions, which the server keeps: what belongs to one call is set by `begin_call`.
local K
local now                 -- the server's time in microseconds
local stamp               -- the same as text
local facts               -- fields of <run>:meta as this call has read or written them, by name; false where absent
local lines               -- log lines of this call
local tally               -- counters of <run>:meta to move, by name
local counted             -- what is counted for good of the cluster in this call, by name (`domain/counts.py`)
local ready               -- {index, attempt} pairs to push, in order
local is_claim            -- whether tasks are only taken: the backlog waits for their end
local cause               -- the task whose end made room, `run:index`
local roomy               -- workers that got something back in this call
local is_news             -- whether something is to be placed, or may now be
local is_thorough         -- whether all that waits is looked at, whatever has changed
local looks_again         -- whether there may be more slots than when the backlog was looked at last
local NAMES = {
  'meta', 'state', 'pending', 'successors', 'task', 'spec', 'lease', 'lost', 'result', 'log', 'canvas', 'plan',
  'output', 'policy', 'delayed', 'tried', 'first', 'starved', 'suspects', 'reused', 'ask', 'rank', 'wanting', 'wide',
  'wanted', 'placed', 'assigned', 'where', 'gang', 'queued:cpu', 'queued:gpu', 'queued:distributed', 'backlog:cpu',
  'backlog:gpu', 'backlog:distributed', 'leaves', 'blocks',
}
-- What is made once and kept from call to call, by name in `kept`; when there is too much, all of it is made anew.
local KEPT = 200          -- runs of which something is kept
local function cache_of(most) return {most = most, count = 0, kept = {}} end
local function remember(cache, name, value)
  cache.count = cache.count + 1
  if cache.count > cache.most then cache.kept, cache.count = {}, 1 end
  cache.kept[name] = value
  return value
end

-- Keys of a run by name, made when they are asked for: a script needs few of them.
local made = cache_of(KEPT)
local function keys_of(prefix)
  return made.kept[prefix] or remember(made, prefix, setmetatable({}, {__index = function(keys, name)
    local key = prefix .. ':' .. name
    keys[name] = key
    return key
  end}))
end

local function text(number) return string.format('%d', number) end  -- a whole number; three times as fast as %.0f

local function begin_call(keys, arguments)
  KEYS, ARGV, K, facts = keys, arguments, keys_of(keys[1]), {}
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
  stamp = text(now)
  lines, tally, ready, is_claim, cause, roomy, is_news, is_thorough = {}, {}, {}, false, '', {}, false, false
  counted = {}
  looks_again = false
end

local ROUTES = {'cpu', 'gpu', 'distributed'}
local MANY = 500          -- arguments in one variadic call; Lua's unpack takes some thousands

local function add(name, amount) tally[name] = (tally[name] or 0) + amount end
local function count(name, amount) counted[name] = (counted[name] or 0) + (amount or 1) end
local function line(letter, index, attempt, rest)
  lines[#lines + 1] = letter .. ' ' .. index .. ' ' .. attempt .. (rest and (' ' .. rest) or '')
end

-- Adds what was counted to `tek:metrics`. A counter that this makes goes again, and its amount to `other`, when there are
-- too many by then or an agent's name is no plain word: what is asked only then costs other calls nothing.
local COUNTERS_MOST = 256
local function write_counted()
  for name, amount in pairs(counted) do
    if redis.call('HINCRBY', 'tek:metrics', name, amount) == amount then
      local head, agent = string.match(name, '^(attempts %S+ %S+ )(.*)$')
      if agent then
        local is_plain = #agent <= 64 and string.match(agent, '^[%w_.:-]+$')
        if not is_plain or redis.call('HLEN', 'tek:metrics') > COUNTERS_MOST then
          redis.call('HDEL', 'tek:metrics', name)
          redis.call('HINCRBY', 'tek:metrics', head .. 'other', amount)
        end
      end
    end
  end
end

local function meta(name)
  local value = facts[name]
  if value == nil then
    value = redis.call('HGET', K.meta, name)
    facts[name] = value
  end
  return value
end

-- Reads fields at once that a script will ask for.
local function read_meta(...)
  for at, value in ipairs(redis.call('HMGET', K.meta, ...)) do facts[select(at, ...)] = value end
end

local function put_meta(...)
  redis.call('HSET', K.meta, ...)
  local given = {...}
  for at = 1, #given, 2 do facts[given[at]] = tostring(given[at + 1]) end
end

local function drop_meta(...)
  redis.call('HDEL', K.meta, ...)
  for _, name in ipairs({...}) do facts[name] = false end
end

local function move_meta(name, amount)
  facts[name] = text(redis.call('HINCRBY', K.meta, name, text(amount)))
  return facts[name]
end

local function all_keys()
  local keys = {}
  for at, name in ipairs(NAMES) do keys[at] = K[name] end
  return keys
end

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

-- A dispatch record: list key, route, agent, label (JSON text without its quotes), tab-separated. Those of one message
-- agree in the first three.
local function parse(record)
  local list, route, kind, label = string.match(record, '^(.-)\t(.-)\t(.-)\t(.*)$')
  return {list = list, route = route, kind = kind, label = label}
end

-- Templates of messages, cut at their markers once: pieces of text, and numbers of markers between them.
local cuts = cache_of(KEPT)
local function cut(template)
  local pieces, rest = {}, 1
  for piece, marker, after in string.gmatch(template, '([^\1-\7]*)([\1-\7])()') do
    pieces[#pieces + 1] = piece
    pieces[#pieces + 1] = string.byte(marker)
    rest = after
  end
  pieces[#pieces + 1] = string.sub(template, rest)
  return remember(cuts, template, pieces)
end

-- Publishes one message for members (a list of {index, attempt}) that share a queue and an agent; `rank` above 0 is that
-- of a distributed task, `at_us` when they were queued if that is not now: such a message is the next to be taken.
local function publish(members, record, settings, rank, at_us)
  local run, ids, id = settings.run, {}, nil
  for at, member in ipairs(members) do ids[at] = '[' .. member[1] .. ',' .. member[2] .. ']' end
  if #members == 1 then
    id = run .. '.' .. members[1][1] .. ((rank or 0) > 0 and '.r' .. rank or '')
  else
    id = run .. '.b' .. move_meta('batches', 1)
  end
  local label = record.label
  if #members > 1 then label = #members .. ' tasks from ' .. label end
  local values = {id, record.kind, label, table.concat(ids, ','), at_us or stamp, record.route,
    (rank or 0) > 0 and 'tek.rank' or #members == 1 and 'tek.attempt' or 'tek.batch'}
  local message = {}
  for at, piece in ipairs(cuts.kept[settings.template] or cut(settings.template)) do message[at] = values[piece] or piece end
  redis.call(at_us and 'RPUSH' or 'LPUSH', record.list, table.concat(message))
end
