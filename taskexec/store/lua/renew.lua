-- Renews leases. Atomic so that a lease cannot lapse between check and renewal; never resurrects a lapsed one.
-- ARGV: lease in microseconds, then lease members (index|attempt|token). May be repeated.
-- Returns the positions (from 0) of members that are no longer held: lapsed, cancelled or superseded.
local gone = {}
for at = 2, #ARGV do
  if redis.call('ZSCORE', K.lease, ARGV[at]) then
    redis.call('ZADD', K.lease, 'XX', text(now + tonumber(ARGV[1])), ARGV[at])
  else
    gone[#gone + 1] = at - 2
  end
end
return gone
