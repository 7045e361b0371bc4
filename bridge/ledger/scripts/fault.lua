-- fault: the bridge gives an outcome for a link whose error Celery stored. KEYS[2]: payload of the link.
-- ARGV: partition, lane, chain, link, the worker that must hold the claim ("": nobody), outcome, watermark,
-- 1 when records were rejected.
local chain, link, claim, outcome = held(ARGV[2], 'chain', 'link', 'claim', 'outcome')
local worker = claim and string.match(claim, '^(.*) ') or ''
if chain ~= ARGV[3] or link ~= ARGV[4] or worker ~= ARGV[5] then return 0 end
if outcome then return outcome == ARGV[6] and 1 or 0 end -- the same one: the answer was lost
conclude(ARGV[1], ARGV[2], chain, link, claim or '', ARGV[6], ARGV[7], ARGV[8])
return 1
