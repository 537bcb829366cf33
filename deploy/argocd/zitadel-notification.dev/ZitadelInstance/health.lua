-- The status follows kstatus: Reconciling and Stalled exist only while they are True, and
-- observedGeneration is the generation that the status is about.

local function progressing(message)
  return { status = "Progressing", message = message }
end

local function words(condition)
  local text = condition.reason or "No reason"
  if condition.message ~= nil and condition.message ~= "" then
    text = text .. ": " .. condition.message
  end
  return text
end

local function from(condition, status)
  return { status = status, message = words(condition) }
end

local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is_true(condition)
  return condition ~= nil and condition.status == "True"
end

local ready = conditions.Ready

-- Argo CD runs this for an object that is being deleted since 3.6; older versions do not.
if obj.metadata.deletionTimestamp ~= nil then
  local waiting = "Waiting for the operator: a policy is undone, a set or an instance waits for policies"
  if ready ~= nil and ready.status == "False" then
    waiting = words(ready)
  end
  return { status = "Progressing", deletionMessage = waiting }
end

if obj.status == nil or obj.status.conditions == nil then
  return progressing("Waiting for the operator to see the object")
end

local generation = obj.metadata.generation
if obj.status.observedGeneration ~= generation then
  return progressing("Waiting for the operator to see the new spec")
end

-- An object that waits must not be Degraded: a temporary error would then end a sync.
if is_true(conditions.Stalled) then
  return from(conditions.Stalled, "Degraded")
end
if is_true(conditions.Reconciling) then
  return from(conditions.Reconciling, "Progressing")
end

if ready == nil then
  return progressing("Waiting for the condition Ready")
end
if ready.status == "False" then
  return from(ready, "Degraded")
end
if ready.status ~= "True" then
  return from(ready, "Progressing")
end
if ready.observedGeneration ~= nil and ready.observedGeneration ~= generation then
  return progressing("Ready is about an older spec")
end
return from(ready, "Healthy")
