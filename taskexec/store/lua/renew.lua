-- Renews leases. Atomic so that a lease cannot lapse between check and renewal; never resurrects a lapsed one.
-- ARGV: worker, lease in microseconds, then lease members (index|attempt|token). May be repeated.
-- A lease that had lapsed and that nobody has ended yet is renewed, which is told (the server, or whoever ends leases, was away).
-- Returns the positions (from 0) of members that are no longer held: lapsed, cancelled or superseded.
local worker, lease = ARGV[1], tonumber(ARGV[2])
local gone = {}
for at = 3, #ARGV do
  local member = ARGV[at]
  local ends = redis.call('ZSCORE', K.lease, member)
  if ends then
    redis.call('ZADD', K.lease, 'XX', text(now + lease), member)
    if tonumber(ends) < now then
      local index, attempt = string.match(member, '^(%d+)|(%d+)|')
      line('N', index, attempt, text(now - tonumber(ends)))
    end
  else
    gone[#gone + 1] = at - 3
  end
end
finish(worker)
return gone
