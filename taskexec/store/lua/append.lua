-- Appends a chunk of evidence to <run>:output. Atomic so that a chunk that comes after the end of a run, of an
-- attempt that was killed, gets the lifetime of the run's other keys, and none brings back a run that is gone; and so
-- that all workers together stay within what the run may leave (`output_limit` of its meta hash, in bytes).
-- ARGV: field, value pairs of the chunk; `d` is its data. May be repeated: chunks name their offset (what was in fact
-- appended twice is counted twice).
-- Returns 1; 0 when there is no such run; -1 when the run may leave no more: nothing was appended.
if not meta('run') then return 0 end
local size, limit = 0, tonumber(meta('output_limit') or '')
for at = 1, #ARGV, 2 do
  if ARGV[at] == 'd' then size = #ARGV[at + 1] end
end
if limit and tonumber(meta('output_bytes') or '0') + size > limit then return -1 end
move_meta('output_bytes', size)
redis.call('HINCRBY', 'tek:metrics', 'evidence', size)
redis.call('XADD', K.output, '*', unpack(ARGV))
if meta('finished_us') then redis.call('EXPIRE', K.output, meta('retention_s')) end
return 1
