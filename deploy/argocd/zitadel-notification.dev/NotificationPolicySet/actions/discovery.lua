local suspended = obj.spec ~= nil and obj.spec.suspend == true

return {
  -- A request waits for the end of the suspension.
  refresh = { disabled = suspended },
  suspend = { disabled = suspended },
  resume = { disabled = not suspended },
}
