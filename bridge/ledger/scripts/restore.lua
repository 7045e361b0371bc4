-- restore, the ledger's part of confirm: raises watermarks and base to what the owner knows; names rule and topic
-- where there are none. ARGV: owner, bridge, rule, topic id, base, then lane and watermark, alternating.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
redis.call('EXPIRE', KEYS[1], KEEP_S)
redis.call('HSETNX', KEYS[1], 'rule', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSETNX', KEYS[1], 'topic_id', ARGV[4]) end
raise('base', ARGV[5])
for i = 6, #ARGV, 2 do raise(ARGV[i] .. '.mark', ARGV[i + 1]) end
return 1
