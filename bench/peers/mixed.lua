-- Traffic as caches meet it: four of five requests ask for one of 1,000 documents by Zipf's law (exponent 1), one of five for
-- a document that nobody asked for before. The first argument names the run, so that those are new in each.
local documents = 1000
local sums = {}
local total = 0
for i = 1, documents do
  total = total + 1 / i
  sums[i] = total
end

local run, asked = '', 0

function init(args)
  run = args[1]
  math.randomseed(42)
end

function request()
  asked = asked + 1
  if asked % 5 == 0 then
    return wrk.format('GET', '/hit/new-' .. run .. '-' .. asked)
  end
  local wanted = math.random() * total
  local low, high = 1, documents
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sums[middle] < wanted then low = middle + 1 else high = middle end
  end
  return wrk.format('GET', '/hit/document-' .. low)
end
