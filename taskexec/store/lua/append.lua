-- Appends a chunk of evidence to <run>:output. Atomic so that a chunk that comes after the end of a run, of an
-- attempt that was killed, gets the lifetime of the run's other keys, and none brings back a run that is gone.
-- ARGV: field, value pairs of the chunk. May be repeated: chunks name their offset.
-- Returns 1, or 0 when there is no such run.
if not meta('run') then return 0 end
redis.call('XADD', K.output, '*', unpack(ARGV))
if meta('finished_us') then redis.call('EXPIRE', K.output, meta('retention_s')) end
return 1
