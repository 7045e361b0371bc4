-- instruct: sets one thing that operators want (a field), or removes it, and writes that down.
-- KEYS: the group's instructions, its audit list. ARGV: field, value ("" removes it), audit line, lines that are kept.
-- Answers 0 when there was nothing to remove: then nothing is written down either.
local changed = 1
if ARGV[2] == '' then
  changed = redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if changed == 1 then
  redis.call('HINCRBY', KEYS[1], 'number', 1)
  redis.call('RPUSH', KEYS[2], ARGV[3])
  redis.call('LTRIM', KEYS[2], -ARGV[4], -1)
end
return changed
